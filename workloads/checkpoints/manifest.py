"""What a checkpoint's manifest says and how it is checked. Files are read and written elsewhere."""

from __future__ import annotations

import hashlib
import json
from typing import Final, Literal

from pydantic import Field, ValidationError

from penstock.api.base import View
from penstock.api.specs import ShareStep
from penstock.json_types import Json

FORMAT: Final = "penstock-checkpoint/1"
MANIFEST: Final = "manifest.json"
MODEL: Final = "model.safetensors"
OPTIMIZER: Final = "optimizer.safetensors"
TOKENIZER: Final = "tokenizer.json"
CONFIG: Final = "config.json"


class CheckpointError(Exception):
    """A checkpoint cannot be used; the message names the file and what is wrong with it."""


class FileEntry(View):
    """One file of a checkpoint."""

    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    bytes: int = Field(ge=0)


class DataPosition(View):
    """Where the job stands in its data; the order itself is a function of these."""

    seed: int
    next_step: int = Field(ge=0)
    batch_size: int = Field(ge=1)
    num_samples: int = Field(ge=1)
    dataset_sha256: str = Field(description="names the token arrays under the job's data folder")


class Manifest(View):
    """A checkpoint's table of contents. Its own hash is the checkpoint's hash."""

    format: Literal["penstock-checkpoint/1"] = FORMAT
    step: int = Field(ge=0, description="steps done")
    epoch: int = Field(ge=0)
    job_id: str
    files: dict[str, FileEntry]
    rng: Json = Field(default_factory=dict)
    data: DataPosition
    shares: tuple[ShareStep, ...] = Field(default=(), description="the share log so far")
    model: Json = Field(description="the model's config.json")
    train: Json = Field(default_factory=dict, description="the training spec")
    world_size: int = Field(default=1, ge=1)


def file_entry(content: bytes) -> FileEntry:
    """The entry of a file with this content."""
    return FileEntry(sha256=sha256_hex(content), bytes=len(content))


def render_manifest(manifest: Manifest) -> bytes:
    """The manifest as it is stored; the same manifest always gives the same bytes."""
    document = manifest.model_dump(mode="json")
    return (json.dumps(document, sort_keys=True, indent=1) + "\n").encode()


def parse_manifest(content: bytes, uri: str, expected_sha256: str | None = None) -> Manifest:
    """Reads a manifest; raises CheckpointError if it is damaged or not the expected one."""
    found = sha256_hex(content)
    if expected_sha256 is not None and found != expected_sha256:
        raise CheckpointError(
            f"{uri}/{MANIFEST} is not the one that was committed: "
            f"its sha256 is {found}, committed was {expected_sha256}"
        )
    try:
        return Manifest.model_validate_json(content)
    except ValidationError as error:
        problem = error.errors()[0]
        where = ".".join(str(part) for part in problem["loc"]) or "document"
        message = f"{uri}/{MANIFEST} is not a checkpoint manifest: {where}: {problem['msg']}"
        raise CheckpointError(message) from None


def check_file(manifest: Manifest, uri: str, name: str, content: bytes) -> None:
    """Raises CheckpointError unless the file is whole and unchanged."""
    entry = manifest.files.get(name)
    if entry is None:
        raise CheckpointError(f"{uri}/{name} is not listed in the checkpoint's manifest")
    if len(content) != entry.bytes:
        raise CheckpointError(
            f"{uri}/{name} is truncated or replaced: {len(content)} bytes, not {entry.bytes}"
        )
    if sha256_hex(content) != entry.sha256:
        raise CheckpointError(f"{uri}/{name} was modified: its sha256 is not the manifest's")


def sha256_hex(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
