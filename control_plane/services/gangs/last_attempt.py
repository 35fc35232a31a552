"""Keeps and tells how a gang's last attempt ended: what happens next overwrites its message."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from control_plane.services.gangs.verdict import limits_of
from control_plane.store.models import Gang, Job
from penstock.api.states import JobState, JobType, Outcome

_STOPPED: Final = {"preempted": "was preempted", "drained": "was stopped"}
_TOLD: Final = 2
_PLACED: Final = (JobState.STARTING, JobState.RUNNING)


def note_end(gang: Gang, outcome: Outcome) -> None:
    """Keeps how the attempt that is over ended, in the gang's own words of the moment."""
    gang.last_end = {
        "attempt": gang.attempt, "outcome": outcome, "reason": gang.reason,
        "exit_reason": gang.exit_reason, "exit_code": gang.exit_code, "message": gang.message,
    }  # fmt: skip


def last_attempt(job: Job, gang: Gang) -> str:
    """For example `attempt 1 ended (error, exit code 1): rank 0 on node a: exit code 1 (failures so
    far: 1 by itself, 2 tries left)`; empty before an attempt has ended.
    """
    end = gang.last_end
    return "" if end is None else f"{_fate(end, f'ended ({_ending(end)})')}{_failures(job, gang)}"


def end_of_attempt(gang: Gang) -> str:
    """The same without reason and counts: `attempt 1 ended: rank 0 on node a: exit code 1`."""
    return "" if gang.last_end is None else _fate(gang.last_end, "ended")


def troubles(gangs: Iterable[Gang]) -> list[str]:
    """How these gangs' last attempts ended, the first few of them, for a line about their job."""
    told = [words for gang in gangs if (words := end_of_attempt(gang))]
    more = len(told) - _TOLD
    return told[:_TOLD] + ([f"{more} more ended, too"] if more > 0 else [])


def _fate(end: dict[str, Any], ended: str) -> str:
    return f"attempt {end['attempt']} {_STOPPED.get(end['reason'], ended)}: {end['message']}"


def _ending(end: dict[str, Any]) -> str:
    words = (end["exit_reason"] or end["reason"]).replace("_", " ")
    return words if end["exit_code"] is None else f"{words}, exit code {end['exit_code']}"


def _failures(job: Job, gang: Gang) -> str:
    limits = limits_of(job)
    counts = [
        ", ".join(filter(None, (f"{count} by {whose}", _tries_left(job, gang, count, limit))))
        for count, whose, limit in (
            (gang.own_failures, "itself", limits.own),
            (gang.infrastructure_failures, "the infrastructure", limits.infrastructure),
        )
        if count
    ]
    return f" (failures so far: {'; '.join(counts)})" if counts else ""


def _tries_left(job: Job, gang: Gang, count: int, limit: int | None) -> str:
    """How many attempts may still follow such failures, if there is a limit: for a server that
    has answered there is none.
    """
    if limit is not None and gang.state == JobState.QUEUED:
        return _tries(limit - count + 1)
    if limit is not None and gang.state in _PLACED and job.type != JobType.SERVE:
        return f"{_tries(limit - count)} after this one"
    return ""


def _tries(number: int) -> str:
    return "1 try left" if number == 1 else f"{max(0, number)} tries left"
