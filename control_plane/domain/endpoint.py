"""The endpoint's states, derived from its ready replicas."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from penstock.api.states import EndpointState

ALLOWED: Final[Mapping[EndpointState, frozenset[EndpointState]]] = {
    EndpointState.PENDING: frozenset({EndpointState.READY, EndpointState.CLOSED}),
    EndpointState.READY: frozenset({EndpointState.DEGRADED, EndpointState.CLOSED}),
    EndpointState.DEGRADED: frozenset({EndpointState.READY, EndpointState.CLOSED}),
    EndpointState.CLOSED: frozenset(),
}


def derive(current: EndpointState, num_ready: int, num_wanted: int, ended: bool) -> EndpointState:
    """Ready once all replicas answered; degraded when fewer do than did."""
    if ended:
        return EndpointState.CLOSED
    if num_ready >= num_wanted:
        return EndpointState.READY
    if current is EndpointState.PENDING:
        return EndpointState.PENDING
    return EndpointState.DEGRADED
