"""Follows the output of all replicas of a job, over all attempts, line by line.

A line is given out once, whole unless it is longer than a block, and in order within its replica;
a replica's next attempt begins when the one before was given out to its end. A follower keeps
offsets, never bytes: a reader that is slow costs nothing but time.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import groupby
from typing import Final

from control_plane.domain.job import TERMINAL
from control_plane.domain.replica import TERMINAL as REPLICA_ENDED
from control_plane.errors import NotFound
from control_plane.services.deps import Deps, LogBytes
from control_plane.services.jobs.views import job_end
from control_plane.services.logs.lines import BLOCK_BYTES, Line, next_lines
from control_plane.services.logs.positions import Spot
from control_plane.services.logs.waiting import LogPatience, missing_line
from control_plane.store.repositories.replicas import LogEnd
from penstock.api.ids import JobId
from penstock.api.jobs import JobEnd

PASS_BYTES: Final = 4 * BLOCK_BYTES


@dataclass(frozen=True, slots=True)
class Which:
    """A choice of replicas; None takes all. `rank` counts the replicas of a serving job."""

    rank: int | None = None
    attempt: int | None = None

    def takes(self, log: LogEnd) -> bool:
        return self.attempt in (None, log.attempt) and self.rank in (None, number_of(log))


ALL: Final = Which()


@dataclass(frozen=True, slots=True)
class Piece:
    """New lines of one replica."""

    log: LogEnd
    lines: Sequence[Line]


@dataclass(frozen=True, slots=True)
class Pull:
    """What is new. `final` tells how the job ended once all of its output was given out."""

    pieces: Sequence[Piece]
    more: bool
    final: JobEnd | None
    waits_for_rest: bool
    """A replica has ended, and its last bytes may still come: look again soon."""


@dataclass(slots=True)
class LogFollower:
    """One reader. `offsets` says what it was given; `pull` gives it the next."""

    deps: Deps
    job_id: JobId
    which: Which = ALL
    offsets: dict[Spot, int] = field(default_factory=dict)
    _turn: int = 0
    _job_ended_at: datetime | None = None
    _patience: LogPatience = field(default_factory=LogPatience)

    def pull(self) -> Pull:
        """At most about 256 KiB; ranks take turns. Raises NotFound once the job is gone."""
        now = self.deps.clock.now()
        with self.deps.store.read() as tx:
            # The job first: once it has ended, all of its logs' ends are final or nearly so.
            job = tx.jobs.get(self.job_id)
            if job is None:
                raise NotFound(f"there is no job {self.job_id!r}", code="job_not_found")
            end = job_end(job) if job.state in TERMINAL else None
            logs = tx.replicas.log_ends(self.job_id)
        self._job_ended_at = job.ended_at
        self._turn += 1
        logs = [log for log in logs if self.which.takes(log)]
        due, unfinished = self._due(logs, now)
        pieces = self._read(due, now)
        more = bool(pieces)
        waits = any(log.state in REPLICA_ENDED for log in unfinished)
        if unfinished or end is None:
            return Pull(pieces, more, None, waits)
        return Pull([*pieces, *_missing(self.deps.logs, logs)], more, end, waits)

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
                pieces.append(Piece(log, lines))
                room -= lines[-1].end - start
            if room <= 0:
                break
        return pieces

    def _is_done(self, log: LogEnd, now: datetime) -> bool:
        return self._offset(log) >= log.end and self._is_complete(log, now)

    def _is_complete(self, log: LogEnd, now: datetime) -> bool:
        return self._patience.is_over(log, self._job_ended_at, now)

    def _offset(self, log: LogEnd) -> int:
        return self.offsets.get(spot_of(log), 0)


def spot_of(log: LogEnd) -> Spot:
    return Spot(log.gang, log.attempt, log.rank)


def number_of(log: LogEnd) -> int:
    """What people call a replica by: its rank, or which replica of a serving job it is."""
    return log.gang or log.rank


def _missing(kept: LogBytes, logs: Sequence[LogEnd]) -> list[Piece]:
    """What is said at the job's end of output that never came, each on a line of its own."""
    pieces = []
    for log in logs:
        line = missing_line(log)
        if line is not None:
            open_line = log.end and kept.read(log.replica_id, log.end - 1, 1) != b"\n"
            pieces.append(Piece(log, [Line(b"", log.end), line] if open_line else [line]))
    return pieces
