"""Leadership as a database lease with an epoch: one scheduler decides, late writes are refused."""

from __future__ import annotations

from datetime import datetime, timedelta
from functools import partial

from control_plane.errors import Conflict
from control_plane.services.deps import Deps
from control_plane.store.models import Leader
from control_plane.store.unit_of_work import Transaction

SCHEDULER = "scheduler"


def try_to_lead(deps: Deps, holder: str, ttl_s: float) -> int | None:
    """The epoch under which `holder` leads for the next `ttl_s` seconds, or None.

    Epochs only grow: each change of leader takes the next one.
    """
    return deps.run(partial(_try, holder=holder, now=deps.clock.now(), ttl_s=ttl_s))


def resign(deps: Deps, holder: str) -> None:
    """Lets another take over at once, on a clean stop."""
    deps.run(partial(_resign, holder=holder, now=deps.clock.now()))


def check_leads(tx: Transaction, epoch: int, now: datetime) -> None:
    """Raises Conflict when `epoch` is not the leader's any more. Part of every commit."""
    row = tx.history.leader(SCHEDULER)
    if row is None or row.epoch != epoch or row.expires_at <= now:
        raise Conflict(f"the scheduler's epoch {epoch} is over", code="deposed")


def _try(tx: Transaction, holder: str, now: datetime, ttl_s: float) -> int | None:
    row = tx.history.leader(SCHEDULER)
    until = now + timedelta(seconds=ttl_s)
    if row is None:
        tx.history.add(Leader(name=SCHEDULER, holder=holder, epoch=1, expires_at=until))
        return 1
    if row.holder != holder:
        if row.expires_at > now:
            return None
        row.holder = holder
        row.epoch += 1
    row.expires_at = until
    return row.epoch


def _resign(tx: Transaction, holder: str, now: datetime) -> None:
    row = tx.history.leader(SCHEDULER)
    if row is not None and row.holder == holder:
        row.expires_at = now
