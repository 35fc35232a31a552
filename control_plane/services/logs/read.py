"""Opens readers of a job's logs: a follower, or the text as it is now."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from control_plane.domain.job import TERMINAL
from control_plane.errors import Invalid, NotFound
from control_plane.services.deps import Caller, Deps
from control_plane.services.jobs.cancel import find_job
from control_plane.services.logs.follow import ALL, LogFollower, Which, number_of, spot_of
from control_plane.services.logs.lines import tail_start
from control_plane.services.logs.positions import decode
from control_plane.services.logs.text import WHOLE, LogText, Part
from control_plane.store.repositories.replicas import LogEnd
from penstock.api.ids import JobId


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


def _logs(deps: Deps, caller: Caller, ref: str, which: Which) -> tuple[JobId, list[LogEnd]]:
    with deps.store.read() as tx:
        job = find_job(tx, caller, ref)
        every = tx.replicas.log_ends(job.id)
        chosen = [log for log in every if which.takes(log)]
        if not chosen and which != ALL and job.state in TERMINAL:
            raise NotFound(_nothing_there(job.name, every, which), code="log_not_found")
        return job.id, chosen


def _nothing_there(name: str, logs: Sequence[LogEnd], which: Which) -> str:
    """Why an ended job has no such output, and which there is."""
    if not logs:
        return f"{name} has no output: it ended before it was placed"
    ranks = _numbers({number_of(log) for log in logs if which.attempt in (None, log.attempt)})
    attempts = _numbers({log.attempt for log in logs})
    if not ranks:
        return f"{name} had no attempt {which.attempt}: there were {attempts}"
    of = "" if which.attempt is None else f" in attempt {which.attempt}"
    return f"{name} had no rank {which.rank}{of}: there were {ranks} (attempts: {attempts})"


def _numbers(found: set[int]) -> str:
    """`0`, `0 and 1`, `0 to 7`, `0, 2 and 5`; at most eight are named one by one."""
    numbers = sorted(found)
    if len(numbers) > 2 and numbers[-1] - numbers[0] == len(numbers) - 1:
        return f"{numbers[0]} to {numbers[-1]}"
    shown = [str(number) for number in numbers[:8]]
    if len(numbers) > len(shown):
        return f"{', '.join(shown)} and {len(numbers) - len(shown)} more"
    return " and ".join(filter(None, [", ".join(shown[:-1]), *shown[-1:]]))


def _labels(logs: Sequence[LogEnd]) -> list[bytes]:
    if len(logs) <= 1:
        return [b""] * len(logs)
    if len({log.attempt for log in logs}) == 1:
        return [f"[{number_of(log)}] ".encode() for log in logs]
    return [f"[{log.attempt}.{number_of(log)}] ".encode() for log in logs]
