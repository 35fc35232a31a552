"""Reads the logs of a job as text, or opens a follower of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from control_plane.services.cancel_job import find_job
from control_plane.services.deps import Caller, Deps
from control_plane.services.follow_logs import ALL, LogFollower, Which, number_of, spot_of
from control_plane.services.log_lines import next_lines, tail_start
from control_plane.services.log_positions import decode
from control_plane.store.listing import LogEnd, log_ends


@dataclass(frozen=True, slots=True)
class Ask:
    """Which part of a job's logs somebody wants. `after` is the id of the last event seen."""

    which: Which = ALL
    tail: int | None = None
    after: str | None = None


def follow_logs(deps: Deps, caller: Caller, ref: str, ask: Ask) -> LogFollower:
    """A follower that stands where `ask` says. Raises NotFound, and Invalid for a bad `after`."""
    job_id, logs = _logs(deps, caller, ref, ask.which)
    follower = LogFollower(deps, job_id, ask.which)
    if ask.after is not None:
        follower.offsets = decode(ask.after)
    elif ask.tail is not None:
        follower.offsets = {spot_of(log): tail_start(deps.logs, log, ask.tail) for log in logs}
    return follower


def log_text(deps: Deps, caller: Caller, ref: str, ask: Ask) -> Iterator[bytes]:
    """What the logs hold now, in order of gang, attempt and rank. Raises NotFound at once.

    The lines of several replicas carry `[rank] ` before them, `[attempt.rank] ` when there were
    several attempts.
    """
    _, logs = _logs(deps, caller, ref, ask.which)
    labels = _labels(logs)
    return (
        block
        for log, label in zip(logs, labels, strict=True)
        for block in _text(deps, log, label, ask.tail)
    )


def _logs(deps: Deps, caller: Caller, ref: str, which: Which) -> tuple[str, list[LogEnd]]:
    with deps.store.read() as tx:
        job = find_job(tx, caller, ref)
        return job.id, [log for log in log_ends(tx.session, job.id) if which.takes(log)]


def _labels(logs: Sequence[LogEnd]) -> list[str]:
    if len(logs) <= 1:
        return [""] * len(logs)
    if len({log.attempt for log in logs}) == 1:
        return [f"[{number_of(log)}] " for log in logs]
    return [f"[{log.attempt}.{number_of(log)}] " for log in logs]


def _text(deps: Deps, log: LogEnd, label: str, tail: int | None) -> Iterator[bytes]:
    offset = 0 if tail is None else tail_start(deps.logs, log, tail)
    while lines := next_lines(deps.logs, log, offset, complete=True):
        offset = lines[-1].end
        yield "".join(f"{label}{line.text}\n" for line in lines).encode()
