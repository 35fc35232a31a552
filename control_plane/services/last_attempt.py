"""Tells of a waiting gang how its last attempt ended: scheduling overwrites the gang's message,
the events keep it.
"""

from __future__ import annotations

from control_plane.store.models import Event, Gang, Job
from control_plane.store.unit_of_work import Transaction
from penstock.api.states import JobType

_NEWEST = 100
_STOPPED = {"preempted": "was preempted", "drained": "was stopped"}


def last_attempt(tx: Transaction, job: Job, gang: Gang) -> str:
    """For example `attempt 1 ended (error): rank 0: out of disk`; empty before there was one."""
    if gang.attempt == 0:
        return ""
    event = _stopping(tx, job, gang)
    reason = gang.exit_reason or (event.data.get("reason") if event is not None else None)
    if reason is None:
        return ""
    fate = _STOPPED.get(reason) or f"ended ({_ending(gang, reason)})"
    return f"attempt {gang.attempt} {fate}{_words(gang, event)}{_failures(gang)}"


def _ending(gang: Gang, reason: str) -> str:
    words = reason.replace("_", " ")
    return words if gang.exit_code is None else f"{words}, exit code {gang.exit_code}"


def _words(gang: Gang, event: Event | None) -> str:
    """The event's message, without what it says of the next attempt."""
    if event is None:
        return ""
    return ": " + event.message.removeprefix(f"waiting for attempt {gang.attempt + 1}: ")


def _failures(gang: Gang) -> str:
    counts = [
        f"{count} by {whose}"
        for count, whose in (
            (gang.own_failures, "itself"),
            (gang.infrastructure_failures, "the infrastructure"),
        )
        if count
    ]
    return f" (failures so far: {', '.join(counts)})" if counts else ""


def _stopping(tx: Transaction, job: Job, gang: Gang) -> Event | None:
    """The newest event that says why the gang was stopped; None once it was forgotten."""
    serves = job.type == JobType.SERVE
    kind = "gang.stopping" if serves else "job.stopping"
    for event in tx.events.newest(job.id, kind, _NEWEST):
        if not serves or (event.data["gang"], event.data["attempt"]) == (gang.index, gang.attempt):
            return event
    return None
