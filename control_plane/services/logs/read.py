"""Reads the output of a job's replicas, over all attempts: as it is now, or followed to its end.

A line is given out once, whole unless it is longer than a block, and in order within its replica.
A follower gives what any rank has, and an attempt's once the one before was given out to its end;
other readers give one replica after the other. Readers keep offsets, never bytes: one that is slow
costs nothing but time.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import groupby
from typing import Final

from control_plane.domain.job import TERMINAL
from control_plane.domain.replica import TERMINAL as REPLICA_ENDED
from control_plane.errors import Invalid, NotFound, not_found
from control_plane.services.deps import Caller, Deps
from control_plane.services.jobs.cancel import find_job
from control_plane.services.jobs.views import job_end
from control_plane.services.logs.lines import BLOCK_BYTES, Line, next_lines, tail_start
from control_plane.services.logs.positions import Spot, decode, spot_of
from control_plane.services.logs.waiting import LogPatience, missing_line
from control_plane.store.repositories.replicas import LogEnd
from penstock.api.ids import JobId
from penstock.api.jobs import JobEnd
from penstock.api.messages import Message, say

BLOCKS: Final = 4
PASS_BYTES: Final = BLOCKS * BLOCK_BYTES


@dataclass(frozen=True, slots=True)
class Ask:
    """Which part of a job's logs somebody wants: of one rank or attempt; of each replica the first
    or the last lines, or from a byte on; of a stream what came `after` the last event seen.
    """

    rank: int | None = None
    attempt: int | None = None
    tail: int | None = None
    head: int | None = None
    offset: int | None = None
    follow: bool = False
    after: str | None = None

    def takes(self, log: LogEnd) -> bool:
        return self.attempt in (None, log.attempt) and self.rank in (None, number_of(log))

    def check(self) -> None:
        """Raises Invalid for parts that contradict each other."""
        if self.follow and self.head is not None:
            raise Invalid("head_of_a_stream")
        others = [name for name in ("head", "offset") if getattr(self, name) is not None]
        if self.tail is not None and others and not self.follow:
            raise Invalid("tail_and_another", other=others[0])


@dataclass(frozen=True, slots=True)
class Piece:
    """New lines of one replica."""

    log: LogEnd
    lines: Sequence[Line]


@dataclass(frozen=True, slots=True)
class Pull:
    """What is new. `final` tells how the job ended once a follower was given all of its output."""

    pieces: Sequence[Piece]
    done: bool
    final: JobEnd | None
    waits_for_rest: bool
    """A replica has ended, and its last bytes may still come: look again soon."""


@dataclass(slots=True)
class LogReader:
    """One reader. `offsets` says what it was given; `pull` gives it the next. `at_start` are the
    logs as they were then: of a live replica, only a follower reads more.
    """

    deps: Deps
    job_id: JobId
    ask: Ask
    at_start: Mapping[Spot, LogEnd]
    offsets: dict[Spot, int] = field(default_factory=dict)
    _lines_left: dict[Spot, int] = field(default_factory=dict)
    _turn: int = 0
    _job_ended_at: datetime | None = None
    _patience: LogPatience = field(default_factory=LogPatience)

    def pull(self) -> Pull:
        """At most about 256 KiB, without waiting. Raises NotFound once the job is gone."""
        now = self.deps.clock.now()
        with self.deps.store.read() as tx:
            # The job first: once it has ended, all of its logs' ends are final or nearly so.
            job = tx.jobs.get(self.job_id)
            if job is None:
                raise not_found("job", self.job_id)
            end = job_end(job) if job.state in TERMINAL else None
            logs = [log for log in tx.replicas.log_ends(job.id) if self.ask.takes(log)]
        if not self.ask.follow:
            return self._in_order([self._as_asked(log) for log in logs], now)
        self._job_ended_at = job.ended_at
        due, unfinished = self._due(logs, now)
        pieces = self._read(due, now)
        waits = any(log.state in REPLICA_ENDED for log in unfinished)
        if unfinished or end is None:
            return Pull(pieces, False, None, waits)
        return Pull([*pieces, *self._missing(logs)], True, end, waits)

    def _as_asked(self, log: LogEnd) -> LogEnd:
        """Live at the start: only what there was then."""
        known = self.at_start.get(spot_of(log))
        return log if known is not None and known.state in REPLICA_ENDED else known or log

    def _in_order(self, logs: Sequence[LogEnd], now: datetime) -> Pull:
        """What is next of the first log that is not wholly given out, or will never come of it."""
        for log in [it for it in logs if spot_of(it) in self.at_start]:
            if self._is_told(log):
                continue
            complete = self._is_complete(log, now)
            if complete and self.ask.tail is not None and spot_of(log) not in self.offsets:
                self.offsets[spot_of(log)] = tail_start(self.deps.logs, log, self.ask.tail)
            waits_for_tail = self.ask.tail is not None and not complete
            pieces = [] if waits_for_tail else self._read([log] * BLOCKS, now)
            if not pieces and complete:
                self._lines_left[spot_of(log)] = 0
                pieces = self._missing([log])
            if pieces or not complete:
                return Pull(pieces, False, None, not pieces)
        return Pull([], True, None, False)

    def _due(self, logs: Sequence[LogEnd], now: datetime) -> tuple[list[LogEnd], list[LogEnd]]:
        """(logs with unread bytes that are next, logs that are not wholly given out)."""
        due: list[LogEnd] = []
        unfinished: list[LogEnd] = []
        for _, gang in groupby(logs, key=lambda log: log.gang):
            for _, attempt in groupby(gang, key=lambda log: log.attempt):
                open_logs = [log for log in attempt if not self._is_done(log, now)]
                if open_logs:
                    unfinished += open_logs
                    due += [log for log in open_logs if self._offset(log) < log.end]
                    break
        self._turn += 1
        turn = self._turn % len(due) if due else 0
        return due[turn:] + due[:turn], unfinished

    def _read(self, due: Sequence[LogEnd], now: datetime) -> list[Piece]:
        pieces: list[Piece] = []
        room = PASS_BYTES
        for log in due:
            start = self._offset(log)
            lines = next_lines(self.deps.logs, log, start, complete=self._is_complete(log, now))
            if lines:
                self.offsets[spot_of(log)] = lines[-1].end
                pieces.append(Piece(log, self._first(log, lines)))
                room -= lines[-1].end - start
            if room <= 0:
                break
        return pieces

    def _first(self, log: LogEnd, lines: Sequence[Line]) -> Sequence[Line]:
        """As many as are still wanted of this log."""
        if self.ask.head is None:
            return lines
        left = self._lines_left.get(spot_of(log), self.ask.head)
        ends = [number for number, line in enumerate(lines, start=1) if line.whole]
        self._lines_left[spot_of(log)] = max(0, left - len(ends))
        return lines[: ends[left - 1]] if 0 < left <= len(ends) else lines if left else ()

    def _missing(self, logs: Sequence[LogEnd]) -> list[Piece]:
        """What is said of output that never came, each on a line of its own."""
        pieces = []
        for log in logs:
            line = missing_line(log)
            if line is not None:
                last = self.deps.logs.read(log.replica_id, log.end - 1, 1) if log.end else b"\n"
                pieces.append(Piece(log, [line] if last == b"\n" else [Line(b"", log.end), line]))
        return pieces

    def _is_told(self, log: LogEnd) -> bool:
        return self._lines_left.get(spot_of(log), self.ask.head) == 0

    def _is_done(self, log: LogEnd, now: datetime) -> bool:
        return self._offset(log) >= log.end and self._is_complete(log, now)

    def _is_complete(self, log: LogEnd, now: datetime) -> bool:
        if not self.ask.follow and log.state not in REPLICA_ENDED:
            return True
        return self._patience.is_over(log, self._job_ended_at, now)

    def _offset(self, log: LogEnd) -> int:
        return self.offsets.get(spot_of(log), self.ask.offset or 0)


def read_logs(deps: Deps, caller: Caller, ref: str, ask: Ask) -> LogReader:
    """A reader that stands where `ask` says. Raises NotFound, and Invalid for a bad `after` and for
    parts that contradict each other.
    """
    ask.check()
    with deps.store.read() as tx:
        job = find_job(tx, caller, ref)
        every = tx.replicas.log_ends(job.id)
    logs = {spot_of(log): log for log in every if ask.takes(log)}
    if not logs and (ask.rank, ask.attempt) != (None, None) and job.state in TERMINAL:
        raise NotFound("no_such_log", job=job.name, what=_nothing_there(every, ask))
    reader = LogReader(deps, job.id, ask, logs)
    if ask.after is not None:
        reader.offsets = decode(ask.after)
    elif ask.follow and ask.tail is not None:
        reader.offsets = {it: tail_start(deps.logs, log, ask.tail) for it, log in logs.items()}
    elif ask.follow and ask.offset:
        reader.offsets = {it: min(ask.offset, log.end) for it, log in logs.items()}
    return reader


def number_of(log: LogEnd) -> int:
    """What people call a replica by: its rank, or which replica of a serving job it is."""
    return log.gang or log.rank


def _nothing_there(logs: Sequence[LogEnd], ask: Ask) -> Message:
    """Why an ended job has no such output, and which there is."""
    if not logs:
        return say("never_placed")
    ranks = _numbers({number_of(log) for log in logs if ask.attempt in (None, log.attempt)})
    attempts = _numbers({log.attempt for log in logs})
    if not ranks:
        return say("no_such_attempt", attempt=ask.attempt, attempts=attempts)
    return say("no_such_rank", rank=ask.rank, of=ask.attempt, ranks=ranks, attempts=attempts)


def _numbers(found: set[int]) -> str:
    """`0`, `0 and 1`, `0 to 7`, `0, 2 and 5`; at most eight are named one by one."""
    numbers = sorted(found)
    if len(numbers) > 2 and numbers[-1] - numbers[0] == len(numbers) - 1:
        return f"{numbers[0]} to {numbers[-1]}"
    shown = [str(number) for number in numbers[:8]]
    if len(numbers) > len(shown):
        return f"{', '.join(shown)} and {len(numbers) - len(shown)} more"
    return " and ".join(filter(None, [", ".join(shown[:-1]), *shown[-1:]]))
