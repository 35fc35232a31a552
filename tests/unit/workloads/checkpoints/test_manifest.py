"""What a checkpoint's manifest says, and what is refused."""

from __future__ import annotations

import pytest

from penstock.api.specs import ShareStep
from workloads.checkpoints.manifest import (
    CheckpointError,
    DataPosition,
    Manifest,
    check_file,
    file_entry,
    parse_manifest,
    render_manifest,
    sha256_hex,
)

DATA = DataPosition(seed=1, next_step=40, batch_size=8, num_samples=90, dataset_sha256="d" * 64)
MANIFEST = Manifest(
    step=40,
    epoch=2,
    job_id="job_1",
    files={"model.safetensors": file_entry(b"weights")},
    data=DATA,
    shares=(ShareStep(from_step=0, shares=(5, 3)),),
    model={"hidden_size": 64},
)


def test_a_manifest_reads_back_as_it_was_written() -> None:
    content = render_manifest(MANIFEST)
    assert parse_manifest(content, "place", sha256_hex(content)) == MANIFEST


def test_the_same_manifest_always_has_the_same_hash() -> None:
    again = Manifest.model_validate_json(render_manifest(MANIFEST))
    assert render_manifest(again) == render_manifest(MANIFEST)


def test_another_manifest_than_the_committed_one_is_refused() -> None:
    content = render_manifest(MANIFEST.model_copy(update={"step": 41}))
    with pytest.raises(CheckpointError, match=r"place/manifest\.json is not the one that was"):
        parse_manifest(content, "place", sha256_hex(render_manifest(MANIFEST)))


@pytest.mark.parametrize(
    "content, problem",
    [
        (b"", "Invalid JSON"),
        (render_manifest(MANIFEST)[:100], "Invalid JSON"),
        (render_manifest(MANIFEST).replace(b"penstock-checkpoint/1", b"other/9"), "format"),
        (b"[]", "document"),
    ],
)
def test_what_is_no_manifest_is_refused_by_name(content: bytes, problem: str) -> None:
    with pytest.raises(CheckpointError, match=r"place/manifest\.json") as refusal:
        parse_manifest(content, "place")
    assert problem in str(refusal.value)


@pytest.mark.parametrize(
    "name, content, problem",
    [
        ("model.safetensors", b"weight", "truncated or replaced: 6 bytes, not 7"),
        ("model.safetensors", b"weightz", "was modified"),
        ("other.bin", b"", "not listed"),
    ],
)
def test_a_damaged_file_is_refused_by_name(name: str, content: bytes, problem: str) -> None:
    with pytest.raises(CheckpointError, match=f"place/{name}.*{problem}"):
        check_file(MANIFEST, "place", name, content)


def test_a_whole_file_is_accepted() -> None:
    check_file(MANIFEST, "place", "model.safetensors", b"weights")
