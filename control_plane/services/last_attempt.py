"""Keeps and tells how a gang's last attempt ended: what happens next overwrites its message."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from control_plane.store.models import Gang
from penstock.api.states import Outcome

_STOPPED: Final = {"preempted": "was preempted", "drained": "was stopped"}
_TOLD: Final = 2


def note_end(gang: Gang, outcome: Outcome) -> None:
    """Keeps how the attempt that is over ended, in the gang's own words of the moment."""
    gang.last_end = {
        "attempt": gang.attempt, "outcome": outcome, "reason": gang.reason,
        "exit_reason": gang.exit_reason, "exit_code": gang.exit_code, "message": gang.message,
    }  # fmt: skip


def last_attempt(gang: Gang) -> str:
    """For example `attempt 1 ended (error, exit code 1): rank 0 on node a: exit code 1 (failures so
    far: 1 by itself)`; empty before an attempt has ended.
    """
    end: dict[str, Any] | None = gang.last_end
    if end is None:
        return ""
    fate = _STOPPED.get(end["reason"]) or f"ended ({_ending(end)})"
    return f"attempt {end['attempt']} {fate}: {end['message']}{_failures(gang)}"


def troubles(gangs: Iterable[Gang]) -> list[str]:
    """How these gangs' last attempts ended, the first few of them, for a line about their job."""
    ends = [gang.last_end for gang in gangs if gang.last_end is not None]
    told = [f"attempt {end['attempt']} ended: {end['message']}" for end in ends[:_TOLD]]
    more = len(ends) - len(told)
    return told + ([f"{more} more ended, too"] if more else [])


def _ending(end: dict[str, Any]) -> str:
    words = (end["exit_reason"] or end["reason"]).replace("_", " ")
    return words if end["exit_code"] is None else f"{words}, exit code {end['exit_code']}"


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
