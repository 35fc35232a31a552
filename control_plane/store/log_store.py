"""Keeps the bytes of replicas' logs under the storage URI, in chunks of one mebibyte.

How far a log goes is the database's to say: bytes beyond that are not yet true, and a chunk
that retention took away reads as nothing. Of a log that is longer than what is to be kept, the
oldest chunk goes as each new one comes.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, Protocol

from fsspec.core import url_to_fs

from control_plane.errors import Invalid
from penstock.api.ids import ReplicaId

CHUNK_BYTES: Final = 2**20
PROBE_BYTES: Final = 4096
_REPLICA: Final = re.compile(r"replica_[0-9a-f]{32}")
_CHUNK: Final = re.compile(r"\d{16}\.log")


class _Chunks(Protocol):
    """Where chunk files are: a local folder, or any other file system."""

    def write(self, folder: str, name: str, offset: int, data: bytes) -> None: ...

    def read(self, folder: str, name: str, offset: int, limit: int) -> bytes: ...

    def names(self, folder: str) -> list[str]: ...

    def drop(self, folder: str, name: str) -> None: ...

    def delete(self, folder: str) -> None: ...


class LogStore:
    """Logs by replica and offset (`control_plane.services.deps.LogBytes`)."""

    def __init__(self, storage: str, keep_bytes: int | None = None) -> None:
        """`storage` is an fsspec URI, for example `file:///srv/penstock`; `keep_bytes` bounds what
        is kept of each log, to a chunk or two.
        """
        self._keep = None if keep_bytes is None else -(-keep_bytes // CHUNK_BYTES) * CHUNK_BYTES
        system, root = url_to_fs(storage)
        local = "file" in _protocols(system)
        self._chunks: _Chunks = _Local(Path(root) / "logs") if local else _Remote(system, root)

    def write(self, replica_id: ReplicaId, offset: int, data: bytes) -> None:
        """Puts the bytes at that offset. Writing the same again changes nothing."""
        folder = _folder(replica_id)
        for start, inner, size in _pieces(offset, len(data)):
            at = start + inner - offset
            self._chunks.write(folder, _name(start), inner, data[at : at + size])
            if self._keep is not None and inner == 0 and start > self._keep:
                self._chunks.drop(folder, _name(start - self._keep - CHUNK_BYTES))

    def read(self, replica_id: ReplicaId, offset: int, limit: int) -> bytes:
        """Up to `limit` bytes from there on; fewer, or none, where they are not kept."""
        folder = _folder(replica_id)
        found: list[bytes] = []
        for start, inner, size in _pieces(offset, limit):
            piece = self._chunks.read(folder, _name(start), inner, size)
            found.append(piece)
            if len(piece) < size:
                break
        return b"".join(found)

    def next_kept(self, replica_id: ReplicaId, offset: int) -> int | None:
        """The start of the next chunk behind `offset` that is kept; None where there is none."""
        starts = (int(name[:16]) for name in self._chunks.names(_folder(replica_id)))
        return min((start for start in starts if start > offset), default=None)

    def probe(self) -> None:
        """Writes a little where logs are kept and takes it away. Raises OSError."""
        folder = f"probe_{uuid.uuid4().hex}"
        try:
            self._chunks.write(folder, _name(0), 0, b"\0" * PROBE_BYTES)
        except OSError:
            with contextlib.suppress(OSError):
                self._chunks.delete(folder)
            raise
        self._chunks.delete(folder)

    def delete(self, replica_id: ReplicaId) -> None:
        """Forgets the whole log; one that is not there is fine."""
        self._chunks.delete(_folder(replica_id))


class _Local:
    def __init__(self, root: Path) -> None:
        self._root = root

    def write(self, folder: str, name: str, offset: int, data: bytes) -> None:
        flags = os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        path = self._root / folder / name
        try:
            descriptor = os.open(path, flags, 0o600)
        except FileNotFoundError:
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            descriptor = os.open(path, flags, 0o600)
        try:
            while data:
                written = os.pwrite(descriptor, data, offset)
                offset, data = offset + written, data[written:]
        finally:
            os.close(descriptor)

    def read(self, folder: str, name: str, offset: int, limit: int) -> bytes:
        try:
            descriptor = os.open(
                self._root / folder / name, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC
            )
        except FileNotFoundError:
            return b""
        try:
            return os.pread(descriptor, limit, offset)
        finally:
            os.close(descriptor)

    def names(self, folder: str) -> list[str]:
        try:
            return [name for name in os.listdir(self._root / folder) if _CHUNK.fullmatch(name)]
        except FileNotFoundError:
            return []

    def drop(self, folder: str, name: str) -> None:
        (self._root / folder / name).unlink(missing_ok=True)

    def delete(self, folder: str) -> None:
        with contextlib.suppress(FileNotFoundError):
            shutil.rmtree(self._root / folder)


class _Remote:
    """Object stores write whole objects only: a chunk is read, changed and written back."""

    def __init__(self, system: Any, root: str) -> None:
        self._system = system
        self._root = f"{root.rstrip('/')}/logs"

    def write(self, folder: str, name: str, offset: int, data: bytes) -> None:
        before = self.read(folder, name, 0, CHUNK_BYTES)
        whole = before[:offset].ljust(offset, b"\0") + data + before[offset + len(data) :]
        self._system.makedirs(f"{self._root}/{folder}", exist_ok=True)
        self._system.pipe_file(f"{self._root}/{folder}/{name}", whole)

    def read(self, folder: str, name: str, offset: int, limit: int) -> bytes:
        path = f"{self._root}/{folder}/{name}"
        try:
            return bytes(self._system.cat_file(path, start=offset, end=offset + limit))
        except FileNotFoundError:
            return b""

    def names(self, folder: str) -> list[str]:
        try:
            paths = self._system.ls(f"{self._root}/{folder}", detail=False, refresh=True)
        except FileNotFoundError:
            return []
        names = (str(path).rpartition("/")[2] for path in paths)
        return [name for name in names if _CHUNK.fullmatch(name)]

    def drop(self, folder: str, name: str) -> None:
        with contextlib.suppress(FileNotFoundError):
            self._system.rm_file(f"{self._root}/{folder}/{name}")

    def delete(self, folder: str) -> None:
        with contextlib.suppress(FileNotFoundError):
            self._system.rm(f"{self._root}/{folder}", recursive=True)


def _pieces(offset: int, length: int) -> Iterator[tuple[int, int, int]]:
    """(start of the chunk, offset in it, bytes) for each chunk that the range touches."""
    end = offset + length
    while offset < end:
        start = offset - offset % CHUNK_BYTES
        size = min(end, start + CHUNK_BYTES) - offset
        yield start, offset - start, size
        offset += size


def _folder(replica_id: ReplicaId) -> str:
    """Nothing but a replica's id ever becomes part of a path."""
    if _REPLICA.fullmatch(replica_id) is None:
        raise Invalid("bad_replica_id", replica=replica_id[:80])
    return replica_id


def _name(start: int) -> str:
    return f"{start:016d}.log"


def _protocols(system: Any) -> tuple[str, ...]:
    named = system.protocol
    return (named,) if isinstance(named, str) else tuple(named)
