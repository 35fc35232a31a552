"""Reading and writing whole files and folders under an fsspec URI. What is in them is others' work.

On a local file system a write is atomic and durable: temporary name, fsync, rename. Other file
systems put whole objects, which appear at once or not at all. What the storage refuses is a
StorageFault: its caller's work was not to blame.
"""

from __future__ import annotations

import contextlib
import os
import posixpath
import shutil
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, cast

import fsspec
from fsspec.implementations.local import LocalFileSystem


class StorageFault(OSError):
    """The storage did not do what it was asked: read-only, full, away or broken."""


@contextlib.contextmanager
def storage_faults() -> Iterator[None]:
    """Errors within are the storage's, but for a file that is there already."""
    try:
        yield
    except (FileExistsError, StorageFault):
        raise
    except OSError as error:
        why = error.strerror or str(error) or type(error).__name__
        raise StorageFault(error.errno, why, error.filename) from error


def join_uri(uri: str, *parts: str) -> str:
    """`uri` with path parts after it."""
    return posixpath.join(uri, *parts)


def read_file(uri: str) -> bytes:
    """The whole content; raises FileNotFoundError, and StorageFault where it cannot be read."""
    fs, path = _locate(uri)
    try:
        with storage_faults():
            return cast(bytes, fs.cat_file(path))
    except StorageFault as error:
        if isinstance(error.__cause__, FileNotFoundError):
            raise error.__cause__ from None
        raise


def exists(uri: str) -> bool:
    """Whether a file or folder is there."""
    fs, path = _locate(uri)
    return bool(fs.exists(path))


def local_path(uri: str) -> Path | None:
    """The path behind a URI of the local file system, null for any other."""
    fs, path = _locate(uri)
    return Path(path) if isinstance(fs, LocalFileSystem) else None


def write_file(uri: str, content: bytes) -> None:
    """Writes one file whole, replacing what was there. Raises StorageFault."""
    fs, path = _locate(uri)
    with storage_faults():
        if isinstance(fs, LocalFileSystem):
            _put_file(Path(path), content)
        else:
            fs.pipe_file(path, content)


def write_folder(uri: str, files: Mapping[str, bytes]) -> None:
    """Writes a folder of files that appears whole, the last-named file last.

    Raises StorageFault, and FileExistsError where the folder is already there on a local file
    system. Nothing is left of one that could not be written whole.
    """
    fs, path = _locate(uri)
    with storage_faults():
        if isinstance(fs, LocalFileSystem):
            _put_folder(Path(path), files)
            return
        for name, content in files.items():
            fs.pipe_file(posixpath.join(path, name), content)


def _locate(uri: str) -> tuple[Any, str]:
    fs, path = fsspec.core.url_to_fs(uri)
    return fs, str(path)


def _put_file(target: Path, content: bytes) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = _temporary_name(target)
    try:
        _write_durably(temporary, content)
        temporary.replace(target)
    except OSError:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise
    _sync_folder(target.parent)


def _put_folder(target: Path, files: Mapping[str, bytes]) -> None:
    if target.exists():
        raise FileExistsError(f"{target} is already there")
    place = temporary = _temporary_name(target)
    try:
        temporary.mkdir(parents=True)
        for name, content in files.items():
            _write_durably(temporary / name, content)
        _sync_folder(temporary)
        place = temporary.rename(target)
        _sync_folder(target.parent)
    except OSError:  # its next try needs the name, and a full disk the room
        shutil.rmtree(place, ignore_errors=True)
        raise


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
