"""Says how many replicas of a serving job run, and how many of them answer. Each of its gangs is
one replica.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from control_plane.services.gangs.last_attempt import troubles
from control_plane.store.models import Gang
from penstock.api.messages import Message, say
from penstock.api.states import JobState

_NOT_PLACED: Final = (JobState.QUEUED, JobState.FAILED)


def serving_message(gangs: Sequence[Gang], num_ready: int | None = None) -> Message:
    """For example `1 of 2 replicas run; attempt 1 ended: replica 0 on node a: exit code 1`. Names
    those that answer where fewer do than run.
    """
    ended, more = troubles(it for it in gangs if it.state in _NOT_PLACED)
    return how_many_run(gangs, num_ready, ended, more)


def how_many_run(
    gangs: Sequence[Gang],
    num_ready: int | None,
    ended: Sequence[Message] = (),
    more: int | None = None,
) -> Message:
    """The same; of those that do not run only what is given."""
    running = num_running(gangs)
    ready = num_ready if num_ready is not None and num_ready < running else None
    return say(
        "serving", running=running, replicas=len(gangs), ready=ready, troubles=ended, more=more
    )


def num_running(gangs: Sequence[Gang]) -> int:
    return sum(gang.state == JobState.RUNNING for gang in gangs)
