"""The replica's states: one process of one attempt, never restarted."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from penstock.api.states import ReplicaState

ALLOWED: Final[Mapping[ReplicaState, frozenset[ReplicaState]]] = {
    ReplicaState.ASSIGNED: frozenset({ReplicaState.STARTING, ReplicaState.LOST}),
    ReplicaState.STARTING: frozenset(
        {ReplicaState.RUNNING, ReplicaState.EXITED, ReplicaState.LOST}
    ),
    ReplicaState.RUNNING: frozenset(
        {ReplicaState.STOPPING, ReplicaState.EXITED, ReplicaState.LOST}
    ),
    ReplicaState.STOPPING: frozenset({ReplicaState.EXITED, ReplicaState.LOST}),
    ReplicaState.EXITED: frozenset(),
    ReplicaState.LOST: frozenset(),
}
TERMINAL: Final = frozenset({ReplicaState.EXITED, ReplicaState.LOST})
LIVE: Final = frozenset(set(ReplicaState) - TERMINAL)

_ORDER: Final = (
    ReplicaState.ASSIGNED,
    ReplicaState.STARTING,
    ReplicaState.RUNNING,
    ReplicaState.STOPPING,
    ReplicaState.EXITED,
    ReplicaState.LOST,
)


def is_news(known: ReplicaState, observed: ReplicaState) -> bool:
    """Whether an observation tells something later than what is known: late ones do not."""
    return known not in TERMINAL and _ORDER.index(observed) > _ORDER.index(known)
