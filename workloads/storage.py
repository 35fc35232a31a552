"""Reading and writing whole files and folders under an fsspec URI. What is in them is others' work.

On a local file system a write is atomic and durable: temporary name, fsync, rename. Other file
systems put whole objects, which appear at once or not at all.
"""

from __future__ import annotations

import os
import posixpath
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import fsspec
from fsspec.implementations.local import LocalFileSystem


def join_uri(uri: str, *parts: str) -> str:
    """`uri` with path parts after it."""
    return posixpath.join(uri, *parts)


def read_file(uri: str) -> bytes:
    """The whole content; raises FileNotFoundError."""
    fs, path = _locate(uri)
    return cast(bytes, fs.cat_file(path))


def exists(uri: str) -> bool:
    """Whether a file or folder is there."""
    fs, path = _locate(uri)
    return bool(fs.exists(path))


def local_path(uri: str) -> Path | None:
    """The path behind a URI of the local file system, null for any other."""
    fs, path = _locate(uri)
    return Path(path) if isinstance(fs, LocalFileSystem) else None


def write_file(uri: str, content: bytes) -> None:
    """Writes one file whole, replacing what was there."""
    fs, path = _locate(uri)
    if not isinstance(fs, LocalFileSystem):
        fs.pipe_file(path, content)
        return
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = _temporary_name(target)
    _write_durably(temporary, content)
    temporary.replace(target)
    _sync_folder(target.parent)


def write_folder(uri: str, files: Mapping[str, bytes]) -> None:
    """Writes a folder of files that appears whole, the last-named file last.

    Raises FileExistsError where the folder is already there on a local file system.
    """
    fs, path = _locate(uri)
    if not isinstance(fs, LocalFileSystem):
        for name, content in files.items():
            fs.pipe_file(posixpath.join(path, name), content)
        return
    target = Path(path)
    if target.exists():
        raise FileExistsError(f"{target} is already there")
    temporary = _temporary_name(target)
    temporary.mkdir(parents=True)
    for name, content in files.items():
        _write_durably(temporary / name, content)
    _sync_folder(temporary)
    temporary.rename(target)
    _sync_folder(target.parent)


def _locate(uri: str) -> tuple[Any, str]:
    fs, path = fsspec.core.url_to_fs(uri)
    return fs, str(path)


def _temporary_name(target: Path) -> Path:
    return target.with_name(f".{target.name}.{uuid.uuid4().hex[:12]}.tmp")


def _write_durably(path: Path, content: bytes) -> None:
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _sync_folder(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
