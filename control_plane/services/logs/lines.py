"""Cuts stored log bytes into lines. Knows offsets; knows nothing of jobs or readers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple

from control_plane.services.deps import LogBytes
from control_plane.store.repositories.replicas import LogEnd

BLOCK_BYTES: Final = 64 * 1024
MAX_TAIL_BYTES: Final = 256 * 2**20


class Line(NamedTuple):
    """A line without its line feed, or a piece of one, and the offset behind it.

    `whole` is False where no line feed follows: the line goes on with the next piece, or the
    output ended here.
    """

    data: bytes
    end: int
    whole: bool = True

    @property
    def written(self) -> bytes:
        return self.data + b"\n" if self.whole else self.data

    @property
    def text(self) -> str:
        return self.data.decode("utf-8", "replace")


def next_lines(kept: LogBytes, log: LogEnd, offset: int, *, complete: bool) -> list[Line]:
    """The next block of whole lines; none where the next line is not whole yet. Of a line that is
    drawn over itself, as progress bars are, what is drawn comes without waiting for its end.

    `complete` says that nothing will follow `log.end`: then the rest is given out, too. A line
    longer than a block comes in pieces, none of which ends within a character. Bytes that are not
    kept any more become one line that says so.
    """
    wanted = min(BLOCK_BYTES, log.end - offset)
    data = kept.read(log.replica_id, offset, wanted) if wanted > 0 else b""
    if not data:
        return [lost(kept, log, offset)] if wanted > 0 else []
    # A short read means that the bytes behind it are gone: this line will never be whole.
    if len(data) < wanted:
        *lines, last = _cut(data, offset)
        return [*lines, last._replace(whole=True)]
    if complete and offset + len(data) == log.end:
        return list(_cut(data, offset))
    size = data.rfind(b"\n") + 1 or _drawn(data)
    if size == 0 and len(data) == BLOCK_BYTES:
        size = _whole_characters(data)
    return list(_cut(data[:size], offset))


def lost(kept: LogBytes, log: LogEnd, offset: int) -> Line:
    """The line in place of bytes that are not kept any more, from `offset` on."""
    end = min(log.end, kept.next_kept(log.replica_id, offset) or log.end)
    text = f"[penstock] {end - offset} bytes of this log are not kept any more"
    return Line(text.encode(), end)


def tail_start(kept: LogBytes, log: LogEnd, num_lines: int) -> int:
    """The offset at which the last `num_lines` lines begin; looks at 256 MiB at most."""
    if num_lines == 0:
        return log.end
    start, missing = log.end, num_lines
    while start > max(0, log.end - MAX_TAIL_BYTES):
        size = min(BLOCK_BYTES, start)
        data = kept.read(log.replica_id, start - size, size)
        if len(data) < size:
            return start  # what lies before is not kept any more
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
    """Line feeds alone end lines: carriage returns stay within one."""
    *whole, rest = data.split(b"\n")
    for line in whole:
        offset += len(line) + 1
        yield Line(line, offset)
    if rest:
        yield Line(rest, offset + len(rest), whole=False)


def _drawn(data: bytes) -> int:
    """How far a line goes that was begun anew by a carriage return; one at the end may belong to a
    line feed, one at the start tells nothing.
    """
    return data.rfind(b"\r", 1, len(data) - 1) + 1


def _whole_characters(data: bytes) -> int:
    """How many of these bytes come before a UTF-8 character that is cut off at their end."""
    for back in range(1, min(4, len(data)) + 1):
        byte = data[-back]
        if byte & 0b1100_0000 != 0b1000_0000:  # no continuation: a character begins here
            length = 2 if 0xC2 <= byte < 0xE0 else 3 if 0xE0 <= byte < 0xF0 else 4
            is_cut = 0xC2 <= byte < 0xF5 and length > back
            return len(data) - back if is_cut else len(data)
    return len(data)
