"""The lease's states and its arithmetic: who may use the chips until when."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

from penstock.api.states import LeaseState

ALLOWED: Final[Mapping[LeaseState, frozenset[LeaseState]]] = {
    LeaseState.HELD: frozenset({LeaseState.RELEASED, LeaseState.EXPIRED}),
    LeaseState.RELEASED: frozenset(),
    LeaseState.EXPIRED: frozenset(),
}
AGENT: Final = "agent"
"""The launcher of nodes whose processes their agent owns."""
MARGIN_S: Final = 5.0
MARGIN_RATIO: Final = 0.02


class Proof(StrEnum):
    """What proves that nothing of a replica runs any more, so that its chips are free."""

    DEADLINE = "deadline"
    """The end of its lease: until then its supervisor has stopped it, whoever else lives."""
    OWNER = "owner"
    """The word of the system that owns its processes. Time proves nothing."""


def proof_of(launcher: str) -> Proof:
    """How leases on nodes of this launcher end without a report of the agent."""
    return Proof.DEADLINE if launcher == AGENT else Proof.OWNER


def margin_s(ttl_s: float) -> float:
    """What a node's clock may run slow by, plus the time it takes to kill a replica."""
    return MARGIN_S + MARGIN_RATIO * ttl_s


def expires_at(now: datetime, ttl_s: float) -> datetime:
    """End of a lease granted or renewed now, by the server's clock."""
    return now + timedelta(seconds=ttl_s)


def over_at(expires: datetime, ttl_s: float) -> datetime:
    """From when on the chips may be leased again: expiry and margin.

    The node stops the replica at expiry − margin by its own clock at the latest, because it
    counts from before it asked and we count from after; the second margin guards our clock.
    """
    return expires + timedelta(seconds=margin_s(ttl_s))


def is_over(proof: str, expires: datetime, ttl_s: float, now: datetime) -> bool:
    """Whether the chips may be leased again, though nobody told of the replica's end."""
    return proof == Proof.DEADLINE and now >= over_at(expires, ttl_s)
