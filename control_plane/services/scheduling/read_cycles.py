"""Reads the records of scheduling cycles. They name jobs of all tenants: administrators only."""

from __future__ import annotations

from control_plane.errors import not_found
from control_plane.services.deps import Caller, Deps
from control_plane.store.models import Cycle as CycleRow
from penstock.api.base import Page
from penstock.api.ids import CycleId
from penstock.api.plans import Cycle
from penstock.api.states import Role


def get_cycle(deps: Deps, caller: Caller, cycle_id: CycleId) -> Cycle:
    """Raises NotFound."""
    caller.require(Role.ADMIN)
    with deps.store.read() as tx:
        row = tx.cycles.get(cycle_id)
        if row is None:
            raise not_found("cycle", cycle_id)
        return _view(row)


def list_cycles(deps: Deps, caller: Caller, limit: int, cursor: str | None) -> Page[Cycle]:
    """The newest first."""
    caller.require(Role.ADMIN)
    with deps.store.read() as tx:
        found = tx.cycles.page(limit, cursor, newest_first=True)
        return Page[Cycle](items=[_view(row) for row in found.rows], next=found.next)


def _view(row: CycleRow) -> Cycle:
    return Cycle(
        id=row.id,
        epoch=row.epoch,
        trigger=row.trigger,
        started_at=row.started_at,
        duration_s=row.duration_s,
        saw=row.saw,
        placed=row.placed,
        preempted=row.preempted,
        deferred=row.deferred,
        committed=row.committed,
        message=row.message,
    )
