"""Gives out a job's logs as text, block by block, one replica after the other.

Of a live replica it gives what there is at the start. Of an ended one it gives everything: what
its agent still ships is waited for (`log_patience`), and what never comes is said.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from control_plane.domain.replica import TERMINAL as REPLICA_ENDED
from control_plane.errors import Invalid
from control_plane.services.deps import Deps
from control_plane.services.logs.lines import lost, tail_start
from control_plane.services.logs.waiting import LogPatience, missing_line
from control_plane.store.repositories.replicas import LogEnd
from penstock.api.ids import JobId

BLOCK_BYTES: Final = 256 * 1024
_REDRAWN: Final = re.compile(rb"\r(?![\r\n]|\Z)")  # a progress bar's line goes on from its start


@dataclass(frozen=True, slots=True)
class Part:
    """Which part of each replica's log: the first or the last lines, or from a byte on."""

    tail: int | None = None
    head: int | None = None
    offset: int | None = None

    def check(self) -> None:
        """Raises Invalid for parts that contradict each other."""
        given = [name for name in ("tail", "head", "offset") if getattr(self, name) is not None]
        if "tail" in given and len(given) > 1:
            raise Invalid(f"`{given[0]}` and `{given[1]}` cannot be asked for together")


WHOLE: Final = Part()


@dataclass(frozen=True, slots=True)
class Block:
    """The next bytes. Without any: `done`, or something may come soon."""

    data: bytes = b""
    done: bool = False


@dataclass(slots=True)
class LogText:
    """One reader. `logs` are the replicas' logs as they were at the start, with their labels."""

    deps: Deps
    job_id: JobId
    logs: list[tuple[LogEnd, bytes]]
    part: Part = WHOLE
    _patience: LogPatience = field(default_factory=LogPatience)
    _blocks: Iterator[bytes] | None = None

    def pull(self) -> Block:
        """At most about 256 KiB, without waiting."""
        if self._blocks is None:
            self._blocks = self._all()
        data = next(self._blocks, None)
        return Block(done=True) if data is None else Block(data)

    def _all(self) -> Iterator[bytes]:
        """Empty where it has to be waited."""
        for log, label in self.logs:
            writer = _Writer(label, self.part.head)
            yield from self._one(log, writer)
            if rest := writer.close():
                yield rest

    def _one(self, log: LogEnd, writer: _Writer) -> Iterator[bytes]:
        offset = self.part.offset or 0
        if self.part.tail is not None:  # where the last lines begin is known at the end
            for look in self._looks(log):
                if look is None:
                    yield b""
                log = look or log
            offset = tail_start(self.deps.logs, log, self.part.tail)
        for look in self._looks(log):
            if look is None:
                yield b""
            log = look or log
            while offset < log.end and not writer.is_full:
                offset, data = self._read(log, offset, writer)
                yield data
            if writer.is_full:
                return
        missing = missing_line(log)
        if missing is not None:
            yield writer.note(missing.data)

    def _read(self, log: LogEnd, offset: int, writer: _Writer) -> tuple[int, bytes]:
        wanted = min(BLOCK_BYTES, log.end - offset)
        data = self.deps.logs.read(log.replica_id, offset, wanted)
        if data:
            return offset + len(data), writer.output(data)
        gap = lost(self.deps.logs, log, offset)
        return gap.end, writer.note(gap.data)

    def _looks(self, log: LogEnd) -> Iterator[LogEnd | None]:
        """The log as it is, then None to wait and the log again, until no more will come."""
        yield log
        while log.state in REPLICA_ENDED and not self._is_over(log):
            yield None
            log = self._again(log)
            yield log

    def _is_over(self, log: LogEnd) -> bool:
        return self._patience.is_over(log, None, self.deps.clock.now())

    def _again(self, log: LogEnd) -> LogEnd:
        with self.deps.store.read() as tx:
            ends = {it.replica_id: it for it in tx.replicas.log_ends(self.job_id)}
        return ends.get(log.replica_id, log)


@dataclass(slots=True)
class _Writer:
    """Puts a label before each line of one replica, and where a line is drawn over itself;
    without one, bytes stay as they are.
    """

    label: bytes
    head: int | None = None
    _starts: bool = True
    """What comes next begins a line."""

    @property
    def is_full(self) -> bool:
        return self.head is not None and self.head <= 0

    def output(self, data: bytes) -> bytes:
        """The next bytes of the replica's output, up to as many lines as are wanted."""
        if self.head is not None:
            data = self._first_lines(data, self.head)
        starts, self._starts = self._starts, data.endswith(b"\n") if data else self._starts
        if not self.label or not data:
            return data
        inner = _REDRAWN.sub(b"\r" + self.label, data[: -1 if self._starts else None])
        labelled = inner.replace(b"\n", b"\n" + self.label)
        return (self.label if starts else b"") + labelled + (b"\n" if self._starts else b"")

    def note(self, text: bytes) -> bytes:
        """A line of ours."""
        before = b"" if self._starts else b"\n"
        self._starts = True
        return before + self.label + text + b"\n"

    def close(self) -> bytes:
        """Ends a labelled line, so that the next replica's does not go on with it."""
        return b"\n" if self.label and not self._starts else b""

    def _first_lines(self, data: bytes, wanted: int) -> bytes:
        """Cuts after the last line that is wanted, and counts down."""
        feeds = data.count(b"\n")
        self.head = wanted - feeds
        if feeds < wanted:
            return data
        *lines, _ = data.split(b"\n", wanted)
        return b"\n".join(lines) + b"\n"
