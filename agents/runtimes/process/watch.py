"""Decides when a replica has outlived what it may, and why: the second look at its supervisor.

Pure. The supervisor ends a replica in time; the agent waits a moment longer and ends what is still
there, since a supervisor can be frozen, by the replica itself too.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Final

from agents.boottime import seconds_ns
from agents.runtimes.base import StopOrder
from penstock.api.states import ExitReason

LEASE_ALLOWANCE_S: Final = 1.0
"""Lease grace, allowance and the second between two looks lie within the server's margin."""

ALLOWANCE_S: Final = 3.0
"""For the rest nothing waits but the user: a busy machine's supervisor has time to be first."""

_EXPIRED: Final = "the lease ended before it was renewed: the control plane was not reached in time"
FROZEN: Final = "its supervisor did not answer, so the agent ended it"


@dataclass(frozen=True, slots=True)
class Watch:
    """What one replica was told, on the boot clock. `deadline_ns` is None while it is not known."""

    started_ns: int
    lease_grace_s: float
    stop_grace_s: float
    max_duration_s: float | None = None
    deadline_ns: int | None = None
    order: StopOrder | None = None
    order_ends_ns: int = 0


def renewed(watch: Watch, deadline_ns: int) -> Watch:
    """With a deadline that moved on, never back."""
    return replace(watch, deadline_ns=max(deadline_ns, watch.deadline_ns or 0))


def ordered(watch: Watch, order: StopOrder, now_ns: int) -> Watch:
    """With an order to stop. The first one's reason counts; a later one may only hurry."""
    ends_ns = now_ns + seconds_ns(order.grace_s)
    if watch.order is None:
        return replace(watch, order=order, order_ends_ns=ends_ns)
    return replace(watch, order_ends_ns=min(watch.order_ends_ns, ends_ns))


def overdue(watch: Watch, now_ns: int) -> StopOrder | None:
    """The reason for which the replica should be gone by now, or None while it may be there."""
    passed = [it for it in _limits(watch) if it[0] <= now_ns]
    return min(passed, key=lambda it: it[0])[1] if passed else None


def _limits(watch: Watch) -> Iterator[tuple[int, StopOrder]]:
    if watch.order is not None:
        yield watch.order_ends_ns + seconds_ns(ALLOWANCE_S), watch.order
    if watch.max_duration_s is not None:
        grace_s = watch.max_duration_s + watch.stop_grace_s + ALLOWANCE_S
        message = f"it ran for longer than its max_duration of {watch.max_duration_s:g} s"
        order = StopOrder(ExitReason.TIMEOUT, watch.stop_grace_s, message)
        yield watch.started_ns + seconds_ns(grace_s), order
    if watch.deadline_ns is not None:
        grace_s = watch.lease_grace_s + LEASE_ALLOWANCE_S
        order = StopOrder(ExitReason.LEASE_EXPIRED, watch.lease_grace_s, _EXPIRED)
        yield watch.deadline_ns + seconds_ns(grace_s), order
