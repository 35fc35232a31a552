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
    end = gang.last_end
    return "" if end is None else f"{_fate(end, f'ended ({_ending(end)})')}{_failures(gang)}"


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
