"""Cuts stored log bytes into lines. Knows offsets; knows nothing of jobs or readers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple

from control_plane.services.deps import LogBytes
from control_plane.store.listing import LogEnd
from control_plane.store.log_store import CHUNK_BYTES

BLOCK_BYTES: Final = 64 * 1024
MAX_TAIL_BYTES: Final = 8 * 2**20


class Line(NamedTuple):
    """One line without its line feed, and the offset behind it."""

    text: str
    end: int


def next_lines(kept: LogBytes, log: LogEnd, offset: int, *, complete: bool) -> list[Line]:
    """The next block of whole lines; none where the next line is not whole yet.

    `complete` says that nothing will follow `log.end`: then the rest counts as a line. A line
    longer than a block comes in pieces. Bytes that are not kept any more become one line that
    says so.
    """
    wanted = min(BLOCK_BYTES, log.end - offset)
    data = kept.read(log.replica_id, offset, wanted) if wanted > 0 else b""
    if not data:
        return [_lost(log, offset)] if wanted > 0 else []
    # A short read means that the bytes behind it are gone: this line will never be whole.
    is_rest = len(data) < wanted or (complete and offset + len(data) == log.end)
    if not is_rest:
        whole = data.rfind(b"\n") + 1
        data = data[:whole] if whole or len(data) < BLOCK_BYTES else data
    return list(_cut(data, offset))


def tail_start(kept: LogBytes, log: LogEnd, num_lines: int) -> int:
    """The offset at which the last `num_lines` lines begin; looks at 8 MiB at most."""
    if num_lines == 0:
        return log.end
    start, missing = log.end, num_lines
    while start > max(0, log.end - MAX_TAIL_BYTES):
        size = min(BLOCK_BYTES, start)
        data = kept.read(log.replica_id, start - size, size)
        if start == log.end and data.endswith(b"\n"):
            missing += 1  # the line feed at the very end opens no line
        feeds = data.count(b"\n")
        if feeds >= missing:
            return start - size + _nth_last_feed(data, missing) + 1
        missing -= feeds
        start -= size
    return start


def _nth_last_feed(data: bytes, count: int) -> int:
    position = len(data)
    for _ in range(count):
        position = data.rfind(b"\n", 0, position)
    return position


def _cut(data: bytes, offset: int) -> Iterator[Line]:
    for raw in data.splitlines(keepends=True) if b"\r" not in data else _by_feed(data):
        offset += len(raw)
        yield Line(raw.removesuffix(b"\n").decode("utf-8", "replace"), offset)


def _by_feed(data: bytes) -> Iterator[bytes]:
    """Line feeds alone end lines: a progress bar's carriage returns stay within one."""
    *whole, rest = data.split(b"\n")
    for line in whole:
        yield line + b"\n"
    if rest:
        yield rest


def _lost(log: LogEnd, offset: int) -> Line:
    end = min(log.end, offset - offset % CHUNK_BYTES + CHUNK_BYTES)
    return Line(f"[penstock] {end - offset} bytes of this log are not kept any more", end)
