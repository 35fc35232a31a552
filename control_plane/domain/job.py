"""The job's states, and how a job follows from its gangs. A gang obeys the same table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from penstock.api.states import JobState, Outcome

ALLOWED: Final[Mapping[JobState, frozenset[JobState]]] = {
    JobState.QUEUED: frozenset({JobState.STARTING, JobState.CANCELLED, JobState.FAILED}),
    JobState.STARTING: frozenset({JobState.RUNNING, JobState.STOPPING}),
    JobState.RUNNING: frozenset({JobState.STOPPING}),
    JobState.STOPPING: frozenset(
        {JobState.QUEUED, JobState.SUCCEEDED, JobState.FAILED, JobState.CANCELLED}
    ),
    JobState.SUCCEEDED: frozenset(),
    JobState.FAILED: frozenset(),
    JobState.CANCELLED: frozenset(),
}
TERMINAL: Final = frozenset({JobState.SUCCEEDED, JobState.FAILED, JobState.CANCELLED})
LIVE: Final = frozenset(set(JobState) - TERMINAL)
PLACED: Final = frozenset({JobState.STARTING, JobState.RUNNING, JobState.STOPPING})

_AFTER_STOP: Final[Mapping[Outcome, JobState]] = {
    Outcome.SUCCEEDED: JobState.SUCCEEDED,
    Outcome.FAILED: JobState.FAILED,
    Outcome.CANCELLED: JobState.CANCELLED,
    Outcome.PREEMPTED: JobState.QUEUED,
    Outcome.RETRY: JobState.QUEUED,
}


def after_stop(outcome: Outcome) -> JobState:
    """Where a stopping gang goes once its last replica has ended."""
    return _AFTER_STOP[outcome]


def derive(gangs: Sequence[JobState]) -> JobState:
    """The job's state from those of its gangs (a serving job has one gang per replica).

    Alive beats ended: a job runs while one gang runs. Ended jobs failed if any gang failed.
    """
    present = set(gangs)
    for state in (JobState.RUNNING, JobState.STARTING):
        if state in present:
            return state
    if JobState.STOPPING in present:
        return JobState.STOPPING
    if JobState.QUEUED in present:
        return JobState.QUEUED
    for state in (JobState.FAILED, JobState.CANCELLED):
        if state in present:
            return state
    return JobState.SUCCEEDED
