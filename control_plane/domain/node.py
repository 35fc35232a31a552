"""The node's two axes: `health` is observed, `intent` is the operator's."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from penstock.api.states import NodeHealth, NodeIntent

HEALTH_ALLOWED: Final[Mapping[NodeHealth, frozenset[NodeHealth]]] = {
    NodeHealth.JOINING: frozenset({NodeHealth.READY, NodeHealth.LOST}),
    NodeHealth.READY: frozenset({NodeHealth.SUSPECT}),
    NodeHealth.SUSPECT: frozenset({NodeHealth.READY, NodeHealth.LOST}),
    NodeHealth.LOST: frozenset({NodeHealth.JOINING}),
}
INTENT_ALLOWED: Final[Mapping[NodeIntent, frozenset[NodeIntent]]] = {
    NodeIntent.SCHEDULABLE: frozenset({NodeIntent.CORDONED, NodeIntent.DRAINING}),
    NodeIntent.CORDONED: frozenset(
        {NodeIntent.SCHEDULABLE, NodeIntent.DRAINING, NodeIntent.RETIRED}
    ),
    NodeIntent.DRAINING: frozenset({NodeIntent.SCHEDULABLE, NodeIntent.CORDONED}),
    NodeIntent.RETIRED: frozenset(),
}


def health_after_silence(
    health: NodeHealth, silent_s: float, suspect_after_s: float, lost_after_s: float
) -> NodeHealth:
    """The health that `silent_s` seconds without a heartbeat mean."""
    if health is NodeHealth.READY and silent_s > suspect_after_s:
        return NodeHealth.SUSPECT
    if health in (NodeHealth.SUSPECT, NodeHealth.JOINING) and silent_s > lost_after_s:
        return NodeHealth.LOST
    return health
