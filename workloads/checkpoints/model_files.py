"""A model's files on the local disk: fetched, complete, unharmed, with nothing executable.

Reads and checks a Penstock checkpoint (manifest with hashes) or a Hugging Face directory. What
the files mean is the loader's affair. Only files that serving reads are fetched and verified:
the optimizer's state of a checkpoint is left alone.
"""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any, Final, Literal

import fsspec

from penstock.json_types import Json, JsonView
from workloads.checkpoints.manifest import (
    CONFIG,
    MANIFEST,
    MODEL,
    TOKENIZER,
    CheckpointError,
    FileEntry,
    parse_manifest,
)

INDEX: Final = "model.safetensors.index.json"
PICKLES: Final = (".bin", ".pt", ".pth", ".ckpt", ".pkl", ".pickle")
SIDE_FILES: Final = ("tokenizer_config.json", "generation_config.json", "chat_template.jinja")


class ModelRefused(ValueError):
    """The model cannot or must not be served; the message says which file, why, what to do."""


class ModelUnreachable(ModelRefused):
    """This node does not reach the model now; another may, or this one later."""


@dataclass(frozen=True, slots=True)
class ModelFiles:
    """Verified local files. `documents` holds the JSON files by name, absent ones as {}."""

    weights: tuple[Path, ...]
    tokenizer: Path
    documents: Mapping[str, JsonView]
    chat_template: str | None
    manifest_sha256: str | None


@contextmanager
def open_model(
    uri: str, kind: Literal["checkpoint", "huggingface"], manifest_sha256: str | None
) -> Iterator[ModelFiles]:
    """The files of the model at `uri`, local while the context lasts; raises ModelRefused."""
    filesystem, root = _locate(uri)
    if not filesystem.isdir(root):
        if not filesystem.exists(root):
            where = " on this node" if "file" in filesystem.protocol else ""
            raise ModelUnreachable(f"the model folder {uri} does not exist{where}")
        raise ModelRefused(f"the model {uri} is a file: the folder that it lies in is wanted")
    names = {PurePosixPath(path).name for path in filesystem.ls(root, detail=False)}
    with tempfile.TemporaryDirectory(prefix="penstock-model-") as scratch:
        source = _Source(filesystem, root, names, Path(scratch))
        if kind == "checkpoint":
            yield _checkpoint(source, manifest_sha256)
        else:
            yield _huggingface(source)


def _locate(uri: str) -> tuple[Any, str]:
    """A path is a path, whatever is in its name; only what has a scheme is a URI."""
    if "://" not in uri:
        return fsspec.filesystem("file"), str(Path(uri).absolute())
    try:
        filesystem, root = fsspec.core.url_to_fs(uri)
    except (ValueError, ImportError) as error:
        raise ModelUnreachable(f"the model {uri} is out of reach of this node: {error}") from error
    return filesystem, str(root)


def read_document(path: Path) -> Json:
    """A JSON object from a file; raises ModelRefused for anything else."""
    try:
        document = json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise ModelRefused(f"{path} is not readable JSON: {error}") from error
    if not isinstance(document, dict):
        raise ModelRefused(f"{path} is not a JSON object")
    return document


@dataclass(frozen=True, slots=True)
class _Source:
    """A folder somewhere; `local` brings one of its files here if it is not here already."""

    filesystem: Any
    root: str
    names: set[str]
    scratch: Path

    def local(self, name: str) -> Path:
        if name != PurePosixPath(name).name or name not in self.names:
            raise ModelRefused(f"the model folder {self.root} is incomplete: {name} is missing")
        if "file" in self.filesystem.protocol:
            return Path(self.root) / name
        self.filesystem.get_file(f"{self.root}/{name}", str(self.scratch / name))
        return self.scratch / name

    def document(self, name: str) -> Json:
        """A JSON object; {} where the file is absent."""
        return read_document(self.local(name)) if name in self.names else {}


def _checkpoint(source: _Source, expected_sha256: str | None) -> ModelFiles:
    raw = source.local(MANIFEST).read_bytes()
    try:
        manifest = parse_manifest(raw, source.root, expected_sha256)
    except CheckpointError as error:
        raise ModelRefused(str(error)) from error
    listed = replace(source, names=source.names & manifest.files.keys())
    for name in sorted({MODEL, TOKENIZER, CONFIG} | (listed.names & set(SIDE_FILES))):
        _verify(listed.local(name), manifest.files[name])
    return _files(listed, (MODEL,), hashlib.sha256(raw).hexdigest())


def _verify(path: Path, entry: FileEntry) -> None:
    size = path.stat().st_size
    if size != entry.bytes:
        raise ModelRefused(f"{path} is truncated or replaced: {size} bytes, not {entry.bytes}")
    with path.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != entry.sha256:
        raise ModelRefused(f"{path} is damaged: sha256 is {found}, not {entry.sha256}")


def _huggingface(source: _Source) -> ModelFiles:
    pickles = sorted(name for name in source.names if name.endswith(PICKLES))
    if pickles:
        raise ModelRefused(
            f"{source.root}: pickle files can run code when loaded and are refused: "
            f"{', '.join(pickles)}; remove them and keep the weights as safetensors"
        )
    for name in (CONFIG, "tokenizer_config.json", "generation_config.json"):
        if "auto_map" in source.document(name):
            raise ModelRefused(
                f"{name}: auto_map asks for code from the model's folder, which is never run; "
                "remove auto_map if the model works without it"
            )
    source.local(CONFIG)  # what makes a folder a model is missed first
    return _files(source, _weight_names(source), None)


def _weight_names(source: _Source) -> Iterable[str]:
    if MODEL in source.names:
        return (MODEL,)
    if INDEX not in source.names:
        raise ModelRefused(f"the model folder {source.root} holds neither {MODEL} nor {INDEX}")
    shards = source.document(INDEX).get("weight_map")
    if not isinstance(shards, dict) or not shards:
        raise ModelRefused(f"{INDEX}: weight_map is missing or empty")
    return sorted({str(name) for name in shards.values()})


def _files(source: _Source, weights: Iterable[str], manifest_sha256: str | None) -> ModelFiles:
    documents = {name: source.document(name) for name in SIDE_FILES[:2]}
    documents[CONFIG] = read_document(source.local(CONFIG))
    has_template = SIDE_FILES[2] in source.names
    return ModelFiles(
        weights=tuple(source.local(name) for name in weights),
        tokenizer=source.local(TOKENIZER),
        documents=documents,
        chat_template=source.local(SIDE_FILES[2]).read_text("utf-8") if has_template else None,
        manifest_sha256=manifest_sha256,
    )
