"""Says how many replicas of a serving job run, and how many of them answer. Each of its gangs is
one replica.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from control_plane.services.gangs.last_attempt import troubles
from control_plane.store.models import Gang
from penstock.api.states import JobState

_NOT_PLACED: Final = (JobState.QUEUED, JobState.FAILED)


def serving_message(gangs: Sequence[Gang], num_ready: int | None = None) -> str:
    """For example `1 of 2 replicas run; attempt 1 ended: replica 0 on node a: exit code 1`."""
    told = _how_many_run(gangs, num_ready)
    return "; ".join([told, *troubles(it for it in gangs if it.state in _NOT_PLACED)])


def still_serving(gangs: Sequence[Gang], num_ready: int) -> str:
    """What goes on while a replica waits, `1 of 2 replicas serve`; empty where nothing does."""
    num_running = _num_running(gangs)
    if 0 < num_running <= num_ready:
        return f"{num_running} of {len(gangs)} replicas serve"
    return _how_many_run(gangs, num_ready) if num_running else ""


def _how_many_run(gangs: Sequence[Gang], num_ready: int | None) -> str:
    """Names those that answer where fewer do than run."""
    num_running = _num_running(gangs)
    told = f"{num_running} of {len(gangs)} replicas run"
    if num_ready is None or num_ready >= num_running:
        return told
    return f"{told}, {num_ready} {'is' if num_ready == 1 else 'are'} ready"


def _num_running(gangs: Sequence[Gang]) -> int:
    return sum(gang.state == JobState.RUNNING for gang in gangs)
