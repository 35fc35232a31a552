"""Keeps and tells how a gang's last attempt ended: what happens next overwrites its message."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from control_plane.services.gangs.verdict import limits_of
from control_plane.store.models import Gang, Job
from control_plane.store.models.coded_message import read_message
from penstock.api.messages import Message, say
from penstock.api.states import JobState, JobType, Outcome

_TOLD: Final = 2
_PLACED: Final = (JobState.STARTING, JobState.RUNNING)


def note_end(gang: Gang, outcome: Outcome) -> None:
    """Keeps how the attempt that is over ended, in the gang's own words of the moment."""
    gang.last_end = {
        "attempt": gang.attempt, "outcome": outcome, "reason": gang.reason,
        "exit_reason": gang.exit_reason, "exit_code": gang.exit_code, "message": gang.message,
        "message_document": gang.message_document,
    }  # fmt: skip


def last_attempt(job: Job, gang: Gang) -> Message | None:
    """For example `attempt 1 ended (error, exit code 1): rank 0 on node a: exit code 1 (failures so
    far: 1 by itself, 2 tries left)`; None before an attempt has ended.
    """
    end = gang.last_end
    if end is None:
        return None
    how = say("ending", reason=end["exit_reason"] or end["reason"], exit_code=end["exit_code"])
    return _fate(end, how, _failures(job, gang))


def end_of_attempt(gang: Gang) -> Message | None:
    """The same without reason and counts: `attempt 1 ended: rank 0 on node a: exit code 1`."""
    return None if gang.last_end is None else _fate(gang.last_end)


def troubles(gangs: Iterable[Gang]) -> tuple[list[Message], int | None]:
    """How these gangs' last attempts ended: the first few of them, and how many more, if any."""
    ended = [end for gang in gangs if (end := end_of_attempt(gang)) is not None]
    return ended[:_TOLD], max(0, len(ended) - _TOLD) or None


def _fate(
    end: dict[str, Any], how: Message | None = None, failures: Message | None = None
) -> Message:
    attempt, message = end["attempt"], read_message(end["message"], end.get("message_document"))
    if end["reason"] == "preempted":
        return say("attempt_preempted", attempt=attempt, message=message, failures=failures)
    if end["reason"] == "drained":
        return say("attempt_stopped", attempt=attempt, message=message, failures=failures)
    return say("attempt_ended", attempt=attempt, how=how, message=message, failures=failures)


def _failures(job: Job, gang: Gang) -> Message | None:
    limits, counts = limits_of(job), list[Message]()
    if own := gang.own_failures:
        counts.append(say("own_failures", count=own, left=_left(job, gang, own, limits.own)))
    if other := gang.infrastructure_failures:
        left = _left(job, gang, other, limits.infrastructure)
        counts.append(say("infrastructure_failures", count=other, left=left))
    return say("failures", counts=counts) if counts else None


def _left(job: Job, gang: Gang, count: int, limit: int | None) -> Message | None:
    """How many attempts may still follow such failures, if there is a limit: for a server that
    has answered there is none.
    """
    if limit is not None and gang.state == JobState.QUEUED:
        return say("tries_left", tries=max(0, limit - count + 1))
    if limit is not None and gang.state in _PLACED and job.type != JobType.SERVE:
        return say("tries_left_after", tries=max(0, limit - count))
    return None
