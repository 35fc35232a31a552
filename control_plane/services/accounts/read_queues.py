"""Reads queues: what they may use, what they use, and how long jobs wait in them."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from datetime import datetime

from control_plane.services.deps import Deps
from control_plane.services.references import not_found
from control_plane.store.models import Lease
from control_plane.store.models import Queue as QueueRow
from control_plane.store.repositories.queues import QueueLoad
from control_plane.store.unit_of_work import Transaction
from penstock.api.base import Page
from penstock.api.queues import Queue


def get_queue(deps: Deps, ref: str) -> Queue:
    """By id or name. Raises NotFound."""
    with deps.store.read() as tx:
        row = find_queue(tx, ref)
        used = _chips_used(tx.leases.held())
        return _view(row, tx.queues.loads(), used, deps.clock.now())


def find_queue(tx: Transaction, ref: str) -> QueueRow:
    """By id or name. Raises NotFound."""
    row = tx.queues.find(ref)
    if row is None:
        raise not_found("queue", ref, hint="list them: penstock queue list")
    return row


def list_queues(deps: Deps, limit: int, cursor: str | None) -> Page[Queue]:
    """In order of their names; one page takes three queries."""
    now = deps.clock.now()
    with deps.store.read() as tx:
        found = tx.queues.page(limit, cursor)
        loads, used = tx.queues.loads(), _chips_used(tx.leases.held())
        items = [_view(row, loads, used, now) for row in found.rows]
        return Page[Queue](items=items, next=found.next)


def _view(
    row: QueueRow,
    loads: Mapping[str, QueueLoad],
    used: Mapping[str, Mapping[str, int]],
    now: datetime,
) -> Queue:
    load = loads.get(row.name, QueueLoad(0, 0, None))
    waited = (now - load.oldest).total_seconds() if load.oldest else None
    milli = sorted(used.get(row.name, {}).items())
    return Queue(
        id=row.id, name=row.name, limits=row.limits,
        used={chip_type: held / 1000 for chip_type, held in milli},
        waiting=load.waiting, running=load.running,
        oldest_wait_s=None if waited is None else max(0.0, round(waited, 3)),
        etag=str(row.version),
    )  # fmt: skip


def _chips_used(leases: Iterable[Lease]) -> dict[str, Counter[str]]:
    """Queue → chip type → thousandths held."""
    used: dict[str, Counter[str]] = defaultdict(Counter)
    for lease in leases:
        for chip in lease.chips:
            used[lease.queue][chip["type"]] += chip["milli"]
    return used
