"""Reads queues: what they may use, what they use, and how long jobs wait in them."""

from __future__ import annotations

from collections import Counter
from datetime import datetime

from control_plane.domain.job import PLACED
from control_plane.errors import not_found
from control_plane.services.deps import Deps
from control_plane.store.models import Queue as QueueRow
from control_plane.store.unit_of_work import Transaction
from penstock.api.base import Page
from penstock.api.queues import Queue


def get_queue(deps: Deps, ref: str) -> Queue:
    """By id or name. Raises NotFound."""
    with deps.store.read() as tx:
        row = find_queue(tx, ref)
        return _Loads(tx, deps.clock.now()).view(row)


def find_queue(tx: Transaction, ref: str) -> QueueRow:
    """By id or name. Raises NotFound."""
    row = tx.queues.find(ref)
    if row is None:
        raise not_found("queue", ref)
    return row


def list_queues(deps: Deps, limit: int, cursor: str | None) -> Page[Queue]:
    """In order of their names; one page takes three queries."""
    now = deps.clock.now()
    with deps.store.read() as tx:
        found = tx.queues.page(limit, cursor)
        loads = _Loads(tx, now)
        return Page[Queue](items=[loads.view(row) for row in found.rows], next=found.next)


class _Loads:
    """What is in the queues, read at once."""

    def __init__(self, tx: Transaction, now: datetime) -> None:
        self._counts = tx.counts.all()
        self._waits = tx.queues.waits()
        self._now = now

    def view(self, row: QueueRow) -> Queue:
        waits = [it for it in self._waits if it.queue == row.name]
        waited_s = [(self._now - it.oldest).total_seconds() for it in waits]
        return Queue(
            id=row.id,
            name=row.name,
            limits=row.limits,
            used=self._used(row.name),
            waiting=sum(it.number for it in waits),
            running=self._num_running(row.name),
            oldest_wait_s=max(0.0, round(max(waited_s), 3)) if waited_s else None,
            etag=str(row.version),
        )

    def _num_running(self, queue: str) -> int:
        jobs = self._counts["job"].items()
        return sum(number for (_, of, state), number in jobs if of == queue and state in PLACED)

    def _used(self, queue: str) -> dict[str, float]:
        """Chip type → chips held."""
        held: Counter[str] = Counter()
        for (_, chip_type, of), milli in self._counts["held"].items():
            held[chip_type] += milli if of == queue else 0
        return {chip_type: milli / 1000 for chip_type, milli in sorted((+held).items())}
