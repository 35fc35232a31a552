"""Adds up chip-seconds by project, job, chip type and hour from the leases, exactly once."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from functools import partial

from control_plane.ids import new_id
from control_plane.services.deps import Deps
from control_plane.store.models import Lease, Usage
from control_plane.store.unit_of_work import Transaction

BATCH = 500


def roll_up_usage(deps: Deps) -> int:
    """The number of leases that moved on. Each remembers how far it is rolled up, in the same
    transaction as the sums: running it twice, or after a crash, counts nothing twice.
    """
    return deps.run(partial(_roll_up, now=deps.clock.now()))


def hours(start: datetime, end: datetime) -> Iterator[tuple[datetime, float]]:
    """The interval cut at full hours: (start of the hour, seconds within it)."""
    while start < end:
        hour = start.replace(minute=0, second=0, microsecond=0)
        cut = min(end, hour + timedelta(hours=1))
        yield hour, (cut - start).total_seconds()
        start = cut


def _roll_up(tx: Transaction, now: datetime) -> int:
    leases = tx.leases.to_roll_up(BATCH)
    for lease in leases:
        start = lease.rolled_up_to or lease.granted_at
        end = lease.ended_at or now
        for hour, seconds in hours(start, end):
            _add(tx, lease, hour, seconds)
        lease.rolled_up_to = max(start, end)
        tx.session.flush()
    return len(leases)


def _add(tx: Transaction, lease: Lease, hour: datetime, seconds: float) -> None:
    held: dict[str, float] = {}
    for chip in lease.chips:
        held[chip["type"]] = held.get(chip["type"], 0.0) + chip["milli"] / 1000.0
    for chip_type, chips in sorted(held.items()):
        row = tx.history.usage(lease.job_id, chip_type, hour)
        if row is None:
            row = Usage(
                id=new_id("usage"), project_id=lease.project_id, job_id=lease.job_id,
                chip_type=chip_type, hour=hour, chip_seconds=0.0,
            )  # fmt: skip
            tx.history.add(row)
            tx.session.flush()
        row.chip_seconds += chips * seconds
