"""Opens readers of a job's logs: a follower, or the text as it is now."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from control_plane.errors import Invalid
from control_plane.services.cancel_job import find_job
from control_plane.services.deps import Caller, Deps
from control_plane.services.follow_logs import ALL, LogFollower, Which, number_of, spot_of
from control_plane.services.log_lines import tail_start
from control_plane.services.log_positions import decode
from control_plane.services.log_text import WHOLE, LogText, Part
from control_plane.store.listing import LogEnd, log_ends


@dataclass(frozen=True, slots=True)
class Ask:
    """Which part of a job's logs somebody wants. `after` is the id of the last event seen."""

    which: Which = ALL
    part: Part = WHOLE
    after: str | None = None


def follow_logs(deps: Deps, caller: Caller, ref: str, ask: Ask) -> LogFollower:
    """A follower that stands where `ask` says. Raises NotFound, and Invalid for a bad `after` or a
    part that has an end.
    """
    if ask.part.head is not None:
        raise Invalid("a stream cannot be told to end after the first lines: leave out `head`")
    job_id, logs = _logs(deps, caller, ref, ask.which)
    follower = LogFollower(deps, job_id, ask.which)
    if ask.after is not None:
        follower.offsets = decode(ask.after)
    elif ask.part.tail is not None:
        tail = ask.part.tail
        follower.offsets = {spot_of(log): tail_start(deps.logs, log, tail) for log in logs}
    elif ask.part.offset:
        follower.offsets = {spot_of(log): min(ask.part.offset, log.end) for log in logs}
    return follower


def log_text(deps: Deps, caller: Caller, ref: str, ask: Ask) -> LogText:
    """What the logs hold now, in order of gang, attempt and rank. Raises NotFound, and Invalid.

    The lines of several replicas carry `[rank] ` before them, `[attempt.rank] ` when there were
    several attempts; the output of one comes byte by byte as it was written.
    """
    ask.part.check()
    job_id, logs = _logs(deps, caller, ref, ask.which)
    return LogText(deps, job_id, list(zip(logs, _labels(logs), strict=True)), ask.part)


def _logs(deps: Deps, caller: Caller, ref: str, which: Which) -> tuple[str, list[LogEnd]]:
    with deps.store.read() as tx:
        job = find_job(tx, caller, ref)
        return job.id, [log for log in log_ends(tx.session, job.id) if which.takes(log)]


def _labels(logs: Sequence[LogEnd]) -> list[bytes]:
    if len(logs) <= 1:
        return [b""] * len(logs)
    if len({log.attempt for log in logs}) == 1:
        return [f"[{number_of(log)}] ".encode() for log in logs]
    return [f"[{log.attempt}.{number_of(log)}] ".encode() for log in logs]
