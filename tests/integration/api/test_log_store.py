"""Where log bytes are kept: a local folder and any other file system behave the same."""

from __future__ import annotations

import random
import uuid
from collections.abc import Iterator
from pathlib import Path

import fsspec
import pytest

from control_plane.errors import Invalid
from control_plane.store.log_store import CHUNK_BYTES, LogStore
from penstock.api.ids import ReplicaId

pytestmark = pytest.mark.integration
REPLICA = "replica_" + "0" * 31 + "1"


@pytest.fixture(params=["file", "memory"])
def storage(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    if request.param == "file":
        yield (tmp_path / "storage").as_uri()
        return
    uri = f"memory://{uuid.uuid4().hex}"
    yield uri
    system, root = fsspec.core.url_to_fs(uri)
    if system.exists(root):
        system.rm(root, recursive=True)


def test_what_is_written_in_pieces_reads_as_one(storage: str) -> None:
    store = LogStore(storage)
    data = random.Random(7).randbytes(2 * CHUNK_BYTES + 12345)
    for start in range(0, len(data), 300_007):
        piece = data[start : start + 300_007]
        for _ in range(2):  # written again: nothing changes
            store.write(ReplicaId(REPLICA), start, piece)
    assert store.read(ReplicaId(REPLICA), 0, len(data) + 10) == data
    for start, size in ((0, 5), (CHUNK_BYTES - 3, 6), (2 * CHUNK_BYTES, 100), (len(data), 5)):
        assert store.read(ReplicaId(REPLICA), start, size) == data[start : start + size]


def test_chunks_are_named_by_their_start(storage: str) -> None:
    LogStore(storage).write(ReplicaId(REPLICA), CHUNK_BYTES - 1, b"ab")
    system, root = fsspec.core.url_to_fs(storage)
    names = {path.rpartition("/")[2] for path in system.find(f"{root}/logs/{REPLICA}")}
    assert names == {f"{0:016d}.log", f"{CHUNK_BYTES:016d}.log"}


def test_a_deleted_log_reads_as_nothing(storage: str) -> None:
    store = LogStore(storage)
    store.write(ReplicaId(REPLICA), 0, b"x")
    store.delete(ReplicaId(REPLICA))
    store.delete(ReplicaId(REPLICA))
    assert store.read(ReplicaId(REPLICA), 0, 10) == b""


def test_a_probe_leaves_nothing_behind(storage: str) -> None:
    LogStore(storage).write(ReplicaId(REPLICA), 0, b"x")
    LogStore(storage).probe()
    system, root = fsspec.core.url_to_fs(storage)
    names = [str(path).rpartition("/")[2] for path in system.ls(f"{root}/logs", detail=False)]
    assert names == [REPLICA]


def test_the_next_chunk_behind_a_gap_is_found(storage: str) -> None:
    store = LogStore(storage)
    assert store.next_kept(ReplicaId(REPLICA), 0) is None
    store.write(ReplicaId(REPLICA), 3 * CHUNK_BYTES, b"c")
    store.write(ReplicaId(REPLICA), 5 * CHUNK_BYTES, b"e")
    assert store.next_kept(ReplicaId(REPLICA), 17) == 3 * CHUNK_BYTES
    assert store.next_kept(ReplicaId(REPLICA), 3 * CHUNK_BYTES) == 5 * CHUNK_BYTES
    assert store.next_kept(ReplicaId(REPLICA), 5 * CHUNK_BYTES) is None


def test_of_a_long_log_the_newest_is_kept(storage: str) -> None:
    store = LogStore(storage, keep_bytes=2 * CHUNK_BYTES)
    block = b"x" * (CHUNK_BYTES // 2)
    for number in range(20):
        store.write(ReplicaId(REPLICA), number * len(block), block)
        store.write(ReplicaId(REPLICA), number * len(block), block)
    end = 20 * len(block)
    assert store.read(ReplicaId(REPLICA), end - 2 * CHUNK_BYTES, 2 * CHUNK_BYTES) == block * 4
    assert store.read(ReplicaId(REPLICA), 0, 10) == b""
    assert store.next_kept(ReplicaId(REPLICA), 0) == end - 3 * CHUNK_BYTES


@pytest.mark.parametrize("name", ["..", "replica_x", "replica_" + "0" * 32 + "/..", "/etc", ""])
def test_nothing_but_a_replica_id_becomes_a_path(storage: str, name: str) -> None:
    store = LogStore(storage)
    for use in (
        lambda: store.write(ReplicaId(name), 0, b"x"),
        lambda: store.read(ReplicaId(name), 0, 1),
        lambda: store.delete(ReplicaId(name)),
    ):
        with pytest.raises(Invalid):
            use()


def test_a_link_in_place_of_a_chunk_is_not_followed(tmp_path: Path) -> None:
    store = LogStore(tmp_path.as_uri())
    store.write(ReplicaId(REPLICA), 0, b"mine")
    secret = tmp_path / "secret"
    secret.write_bytes(b"secret")
    chunk = tmp_path / "logs" / REPLICA / f"{0:016d}.log"
    chunk.unlink()
    chunk.symlink_to(secret)
    with pytest.raises(OSError, match=r"symbolic|loop|links"):
        store.read(ReplicaId(REPLICA), 0, 6)
    with pytest.raises(OSError, match=r"symbolic|loop|links"):
        store.write(ReplicaId(REPLICA), 0, b"x")
    assert secret.read_bytes() == b"secret"
