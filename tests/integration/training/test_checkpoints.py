"""Checkpoints on a real file system: whole or refused, and readable by what serves them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from penstock.api.specs import ModelShape, TrainSpec
from tests.gang import Seat, running_gang
from tests.integration.training.conftest import SHAPE
from workloads.checkpoints.files import Written, read_manifest, read_tensors
from workloads.checkpoints.manifest import MODEL, OPTIMIZER, CheckpointError, DataPosition
from workloads.models.config import config_from_hf
from workloads.models.llama import Llama
from workloads.training.state import TrainState, manifest_of

pytestmark = pytest.mark.integration

SPEC = TrainSpec(model=ModelShape.model_validate(SHAPE))
DATA = DataPosition(seed=0, next_step=7, batch_size=4, num_samples=9, dataset_sha256="d" * 64)


def _saved(folder: Path) -> tuple[TrainState, Written]:
    state = TrainState(SPEC, world_size=2)
    torch.manual_seed(1)
    state.optimizer.first_N.normal_()
    state.optimizer.second_N.uniform_()
    manifest = manifest_of(("job_1", 3), SPEC, state.config, DATA, [], 2)
    return state, state.save(folder.as_uri(), manifest, b"{}")


def test_a_checkpoint_restores_model_and_optimizer_into_a_gang_of_another_size(
    tmp_path: Path,
) -> None:
    state, written = _saved(tmp_path)
    other = TrainState(TrainSpec(model=SPEC.model, seed=9), world_size=5)
    other.restore(written.uri, read_manifest(written.uri, written.manifest_sha256))
    assert torch.equal(other.flat.values_N, state.flat.values_N)
    assert torch.equal(other.optimizer.first_N, state.optimizer.first_N)
    assert torch.equal(other.optimizer.second_N, state.optimizer.second_N)


def test_the_folder_is_a_hugging_face_llama_directory(tmp_path: Path) -> None:
    state, written = _saved(tmp_path)
    folder = tmp_path / "checkpoints" / "step-00000007-e3"
    assert sorted(path.name for path in folder.iterdir()) == [
        "config.json",
        "manifest.json",
        "model.safetensors",
        "optimizer.safetensors",
        "tokenizer.json",
    ]
    assert list((tmp_path / "checkpoints").iterdir()) == [folder]
    model = Llama(config_from_hf(json.loads((folder / "config.json").read_text())))
    model.load_state_dict(read_tensors(written.uri, read_manifest(written.uri), MODEL))
    tokens_BT = torch.arange(12).view(2, 6)
    assert torch.equal(model(tokens_BT), state.model(tokens_BT))


@pytest.mark.parametrize("name", [MODEL, OPTIMIZER])
@pytest.mark.parametrize("damage", ["cut", "flipped", "gone"])
def test_a_damaged_file_is_refused_by_name(name: str, damage: str, tmp_path: Path) -> None:
    _, written = _saved(tmp_path)
    path = tmp_path / "checkpoints" / "step-00000007-e3" / name
    content = path.read_bytes()
    if damage == "gone":
        path.unlink()
    else:
        middle = len(content) // 2
        flipped = content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]
        path.write_bytes(content[:middle] if damage == "cut" else flipped)
    said = {"cut": "is truncated", "flipped": "was modified", "gone": "is missing"}[damage]
    manifest = read_manifest(written.uri, written.manifest_sha256)
    with pytest.raises(CheckpointError, match=f"{name} {said}"):
        TrainState(SPEC, world_size=1).restore(written.uri, manifest)


def test_a_bucket_holds_the_same_checkpoint_as_a_folder(tmp_path: Path) -> None:
    state, written = _saved(tmp_path)
    manifest = read_manifest(written.uri, written.manifest_sha256)
    put = state.save("memory://bucket/jobs/job_1", manifest, b"{}")
    assert put.manifest_sha256 == written.manifest_sha256
    restored = TrainState(SPEC, world_size=1)
    restored.flat.values_N.zero_()
    restored.restore(put.uri, read_manifest(put.uri, put.manifest_sha256))
    assert torch.equal(restored.flat.values_N, state.flat.values_N)


def test_another_manifest_than_the_committed_one_is_refused(tmp_path: Path) -> None:
    _, written = _saved(tmp_path)
    with pytest.raises(CheckpointError, match=r"manifest\.json is not the one"):
        read_manifest(written.uri, "0" * 64)


def test_a_checkpoint_of_another_model_is_refused(tmp_path: Path) -> None:
    _, written = _saved(tmp_path)
    other = TrainSpec(model=ModelShape.model_validate({**SHAPE, "num_layers": 2}))
    with pytest.raises(CheckpointError, match="another shape"):
        TrainState(other, world_size=1).restore(written.uri, read_manifest(written.uri))


def test_a_second_checkpoint_of_the_same_step_and_attempt_does_not_replace_the_first(
    tmp_path: Path,
) -> None:
    _saved(tmp_path)
    with pytest.raises(FileExistsError):
        _saved(tmp_path)


def test_a_job_told_to_resume_from_a_damaged_checkpoint_says_which_file(
    work: dict[str, Any], tmp_path: Path, cache: Path
) -> None:
    with running_gang(tmp_path / "a", work, [Seat()], 1, None, cache) as gang:
        assert gang.wait() == [0], gang.logs()
    uri = f"{(tmp_path / 'a').as_uri()}/checkpoints/step-00000004-e1"
    path = tmp_path / "a" / "checkpoints" / "step-00000004-e1" / MODEL
    path.write_bytes(path.read_bytes()[:-1])
    work["resume"] = {"uri": uri, "step": 4, "manifest_sha256": None}
    with running_gang(tmp_path / "a", work, [Seat()], 2, None, cache) as gang:
        assert gang.wait() == [1]
        assert f"{uri}/{MODEL} is truncated or replaced" in gang.log(0)
        assert "Traceback" not in gang.log(0)
