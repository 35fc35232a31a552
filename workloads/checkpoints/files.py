"""Checkpoints on storage: written whole, verified on reading. Committing them is the reporter's.

A checkpoint is a folder: the model as a Hugging Face directory, the whole optimizer, and a
manifest with the hash of each file. Nothing in it depends on chips or on the number of ranks.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass

import safetensors.torch
from safetensors import SafetensorError
from torch import Tensor

from workloads.checkpoints.manifest import (
    CONFIG,
    MANIFEST,
    MODEL,
    OPTIMIZER,
    TOKENIZER,
    CheckpointError,
    Manifest,
    check_file,
    file_entry,
    parse_manifest,
    render_manifest,
    sha256_hex,
)
from workloads.models.config import LlamaConfig, config_from_hf, config_to_hf
from workloads.storage import join_uri, read_file, write_folder


@dataclass(frozen=True, slots=True)
class Written:
    """A checkpoint on storage; real only once it is committed."""

    uri: str
    step: int
    manifest_sha256: str


def checkpoint_uri(storage: str, step: int, epoch: int) -> str:
    """Where the checkpoint of a step of an attempt lies below the job's folder."""
    return join_uri(storage, "checkpoints", f"step-{step:08d}-e{epoch}")


def write_checkpoint(
    uri: str,
    manifest: Manifest,
    model: Mapping[str, Tensor],
    optimizer: Mapping[str, Tensor],
    tokenizer: bytes,
) -> Written:
    """Writes all files, the manifest last; `manifest.files` is filled in here."""
    files = {
        MODEL: safetensors.torch.save(_plain(model), {"format": "pt"}),
        OPTIMIZER: safetensors.torch.save(_plain(optimizer), {"format": "pt"}),
        TOKENIZER: tokenizer,
        CONFIG: (json.dumps(manifest.model, indent=2, sort_keys=True) + "\n").encode(),
    }
    entries = {name: file_entry(content) for name, content in files.items()}
    rendered = render_manifest(manifest.model_copy(update={"files": entries}))
    write_folder(uri, {**files, MANIFEST: rendered})
    return Written(uri, manifest.step, sha256_hex(rendered))


def read_manifest(uri: str, expected_sha256: str | None = None) -> Manifest:
    """The checkpoint's manifest, checked against the committed hash where one is known."""
    return parse_manifest(_read(uri, MANIFEST), uri, expected_sha256)


def verified_file(uri: str, manifest: Manifest, name: str) -> bytes:
    """A file's content; raises CheckpointError where it is missing, truncated or modified."""
    content = _read(uri, name)
    check_file(manifest, uri, name, content)
    return content


def read_tensors(uri: str, manifest: Manifest, name: str) -> dict[str, Tensor]:
    """The verified tensors of one of the checkpoint's safetensors files."""
    content = verified_file(uri, manifest, name)
    try:
        return safetensors.torch.load(content)
    except SafetensorError as error:
        raise CheckpointError(f"{uri}/{name} is not a safetensors file: {error}") from None


def read_config(manifest: Manifest) -> LlamaConfig:
    """The model's sizes as the manifest gives them."""
    return config_from_hf(manifest.model)


def model_document(config: LlamaConfig) -> dict[str, object]:
    """What a manifest's `model` and the checkpoint's config.json hold."""
    return config_to_hf(config)


def _read(uri: str, name: str) -> bytes:
    try:
        return read_file(join_uri(uri, name))
    except FileNotFoundError:
        raise CheckpointError(f"{uri}/{name} is missing") from None


def _plain(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor.detach().contiguous() for name, tensor in tensors.items()}
