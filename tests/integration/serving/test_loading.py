"""Loading: both kinds of folders give the model; damaged and dangerous ones give a clear no."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Literal

import fsspec
import pytest
import torch

from tests.integration.serving.model_folders import (
    SHAPE,
    a_model,
    write_huggingface,
    write_penstock_checkpoint,
)
from workloads.checkpoints.model_files import ModelRefused
from workloads.engine.loader import LoadedModel, load_model
from workloads.engine.options import ServeWork
from workloads.models.config import config_of_shape
from workloads.models.llama import Llama

pytestmark = pytest.mark.integration
CONFIG = config_of_shape(SHAPE)


def load(
    folder: Path | str,
    kind: Literal["checkpoint", "huggingface"] = "huggingface",
    manifest_sha256: str | None = None,
) -> LoadedModel:
    work = ServeWork(
        model_uri=str(folder), kind=kind, model_name="m", manifest_sha256=manifest_sha256
    )
    return load_model(work, "cpu")


def same_weights(loaded: Llama, written: Llama) -> bool:
    expected = written.state_dict()
    return all(torch.equal(value, expected[name]) for name, value in loaded.state_dict().items())


@pytest.fixture
def huggingface(tmp_path: Path) -> Path:
    write_huggingface(tmp_path / "model")
    return tmp_path / "model"


@pytest.fixture(scope="module")
def written_checkpoint(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    folder = tmp_path_factory.mktemp("storage") / "step-00000007-e1"
    return folder, write_penstock_checkpoint(folder).manifest_sha256


@pytest.fixture
def checkpoint(written_checkpoint: tuple[Path, str], tmp_path: Path) -> tuple[Path, str]:
    folder, sha256 = written_checkpoint
    shutil.copytree(folder, tmp_path / "checkpoint")
    return tmp_path / "checkpoint", sha256


@pytest.fixture
def memory_folder(checkpoint: tuple[Path, str]) -> Iterator[str]:
    """The checkpoint on a file system that is not local."""
    memory = fsspec.filesystem("memory")
    for path in checkpoint[0].iterdir():
        memory.pipe_file(f"/bucket/{path.name}", path.read_bytes())
    yield "memory://bucket"
    memory.rm("/bucket", recursive=True)


@pytest.mark.parametrize("num_shards", [1, 3])
def test_a_huggingface_folder_loads_whole_or_in_shards(tmp_path: Path, num_shards: int) -> None:
    written = write_huggingface(tmp_path, num_shards=num_shards)
    assert same_weights(load(tmp_path).model, written)


def test_an_untied_head_loads(tmp_path: Path) -> None:
    config = replace(CONFIG, tie_word_embeddings=False)
    written = write_huggingface(tmp_path, config)
    assert same_weights(load(tmp_path).model, written)


def test_bf16_stays_bf16_and_fp16_becomes_fp32(huggingface: Path) -> None:
    from safetensors.torch import load_file, save_file

    path = huggingface / "model.safetensors"
    weights = load_file(path)
    for stored, served in ((torch.bfloat16, torch.bfloat16), (torch.float16, torch.float32)):
        save_file({name: value.to(stored) for name, value in weights.items()}, path)
        assert load(huggingface).model.unembedding().dtype == served


def test_a_checkpoint_loads_with_its_hash(checkpoint: tuple[Path, str]) -> None:
    folder, sha256 = checkpoint
    loaded = load(folder, "checkpoint", sha256)
    assert loaded.manifest_sha256 == sha256
    assert loaded.eos == frozenset({0})
    assert same_weights(loaded.model, a_model(CONFIG))


def test_a_checkpoint_loads_from_another_file_system(
    memory_folder: str, checkpoint: tuple[Path, str]
) -> None:
    loaded = load(memory_folder, "checkpoint", checkpoint[1])
    assert same_weights(loaded.model, a_model(CONFIG))


def test_weights_are_copies_that_outlive_their_file(huggingface: Path) -> None:
    loaded = load(huggingface)
    before = loaded.model.unembedding().clone()
    path = huggingface / "model.safetensors"
    path.write_bytes(b"\xff" * path.stat().st_size)
    assert torch.equal(loaded.model.unembedding(), before)


def _flip_last_byte(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)


def _cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-10])


@pytest.mark.parametrize("name", ["model.safetensors", "tokenizer.json", "config.json"])
@pytest.mark.parametrize(
    "damage,reason", [(_flip_last_byte, "damaged"), (_cut, "truncated"), (Path.unlink, "missing")]
)
def test_a_damaged_file_of_a_checkpoint_is_named(
    checkpoint: tuple[Path, str], name: str, damage: Callable[[Path], None], reason: str
) -> None:
    folder, sha256 = checkpoint
    damage(folder / name)
    with pytest.raises(ModelRefused, match=f"(?s){name}.*{reason}"):
        load(folder, "checkpoint", sha256)


@pytest.mark.parametrize("damage", [_flip_last_byte, _cut, Path.unlink])
def test_a_damaged_manifest_is_refused(
    checkpoint: tuple[Path, str], damage: Callable[[Path], None]
) -> None:
    folder, sha256 = checkpoint
    damage(folder / "manifest.json")
    with pytest.raises(ModelRefused, match=r"manifest\.json"):
        load(folder, "checkpoint", sha256)


def test_another_checkpoint_than_the_one_asked_for_is_refused(checkpoint: tuple[Path, str]) -> None:
    with pytest.raises(ModelRefused, match="sha256"):
        load(checkpoint[0], "checkpoint", "0" * 64)


def test_a_file_that_the_manifest_does_not_list_is_not_read(checkpoint: tuple[Path, str]) -> None:
    folder, sha256 = checkpoint
    (folder / "chat_template.jinja").write_text("{% broken")
    assert load(folder, "checkpoint", sha256).manifest_sha256 == sha256


def test_a_damaged_optimizer_does_not_keep_a_model_from_being_served(
    checkpoint: tuple[Path, str],
) -> None:
    folder, sha256 = checkpoint
    _cut(folder / "optimizer.safetensors")
    assert load(folder, "checkpoint", sha256).manifest_sha256 == sha256


@pytest.mark.parametrize(
    "name", ["pytorch_model.bin", "model.pt", "x.pth", "x.ckpt", "x.pkl", "training_args.bin"]
)
def test_pickle_files_are_refused_by_name_and_never_opened(huggingface: Path, name: str) -> None:
    trap = huggingface / name
    trap.write_bytes(b"cposix\nsystem\n(S'touch trapped'\ntR.")
    trap.chmod(0)
    with pytest.raises(ModelRefused, match=rf"pickle.*{name}.*safetensors"):
        load(huggingface)


@pytest.mark.parametrize("name", ["config.json", "tokenizer_config.json", "generation_config.json"])
def test_remote_code_is_refused_and_not_run(huggingface: Path, name: str) -> None:
    path = huggingface / name
    document = json.loads(path.read_text()) if path.exists() else {}
    document["auto_map"] = {"AutoModelForCausalLM": "modeling_trap.Trap"}
    path.write_text(json.dumps(document))
    (huggingface / "modeling_trap.py").write_text("raise SystemExit('trapped')")
    with pytest.raises(ModelRefused, match=rf"{name}: auto_map"):
        load(huggingface)


def test_an_unknown_architecture_is_refused(huggingface: Path) -> None:
    _edit(huggingface / "config.json", architectures=["GPT2LMHeadModel"], model_type="gpt2")
    with pytest.raises(ModelRefused, match=r"GPT2LMHeadModel.*not supported.*LlamaForCausalLM"):
        load(huggingface)


@pytest.mark.parametrize("keep", [0, 4, 100, -1])
def test_truncated_weights_are_refused(huggingface: Path, keep: int) -> None:
    path = huggingface / "model.safetensors"
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(ModelRefused, match="damaged or truncated"):
        load(huggingface)


def test_a_missing_shard_is_named(tmp_path: Path) -> None:
    write_huggingface(tmp_path, num_shards=2)
    (tmp_path / "model-00002.safetensors").unlink()
    with pytest.raises(ModelRefused, match=r"model-00002\.safetensors is missing"):
        load(tmp_path)


def test_an_index_cannot_point_out_of_the_folder(tmp_path: Path) -> None:
    write_huggingface(tmp_path / "other")
    write_huggingface(tmp_path / "model", num_shards=2)
    index = tmp_path / "model" / "model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": {"a": "../other/model.safetensors"}}))
    with pytest.raises(ModelRefused, match="missing"):
        load(tmp_path / "model")


@pytest.mark.parametrize(
    "change,reason",
    [
        ({"intermediate_size": 128}, "has shape"),
        ({"num_hidden_layers": 3}, r"weights are missing: model\.layers\.2"),
        ({"num_hidden_layers": 1}, r"model\.layers\.1.* is not part"),
        ({"tie_word_embeddings": False}, r"missing: lm_head\.weight"),
        ({"vocab_size": 300}, "tokenizer.json knows 3.. tokens, the model only 300"),
    ],
)
def test_weights_that_do_not_fit_the_config_are_refused(
    huggingface: Path, change: dict[str, object], reason: str
) -> None:
    _edit(huggingface / "config.json", **change)
    with pytest.raises(ModelRefused, match=reason):
        load(huggingface)


@pytest.mark.parametrize("name", ["config.json", "tokenizer.json"])
@pytest.mark.parametrize("content", ["", "{", "[]", "[" * 10_000])
def test_unreadable_json_is_refused_by_name(huggingface: Path, name: str, content: str) -> None:
    (huggingface / name).write_text(content)
    with pytest.raises(ModelRefused, match=name):
        load(huggingface)


def test_a_folder_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelRefused, match=r"folder .*nowhere does not exist on this"):
        load(tmp_path / "nowhere")


def test_a_folder_without_weights_is_refused(huggingface: Path) -> None:
    (huggingface / "model.safetensors").unlink()
    with pytest.raises(ModelRefused, match=r"holds neither .* nor .*"):
        load(huggingface)


def test_a_models_own_chat_template_is_used(huggingface: Path) -> None:
    settings = {"chat_template": "{% for m in messages %}[{{ m.content }}]{% endfor %}"}
    (huggingface / "tokenizer_config.json").write_text(json.dumps(settings))
    tokenizer = load(huggingface).tokenizer
    assert tokenizer.decode(tokenizer.encode_chat([{"role": "user", "content": "x"}])) == "[x]"


@pytest.mark.parametrize("name", ["a::b", "100%25", "it#1", "a b?c=d", "file:x"])
def test_a_folder_is_a_path_whatever_its_name(huggingface: Path, name: str) -> None:
    folder = huggingface.with_name(name)
    huggingface.rename(folder)
    assert load(folder).tokenizer.num_tokens > 0


def test_parts_of_a_character_have_their_own_bytes(huggingface: Path) -> None:
    tokenizer = load(huggingface).tokenizer
    for text in ("plain", "café", "日本", "😀", "\ufffd"):
        found = [tokenizer.token_bytes(token) for token in tokenizer.encode(text)]
        assert None not in found
        assert bytes(byte for one in found for byte in one or ()).decode().strip() == text


def _edit(path: Path, **changes: object) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))
