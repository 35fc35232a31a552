"""Adds up chip-seconds by project, job, chip type and hour from the leases, exactly once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from datetime import datetime, timedelta
from functools import partial

from control_plane.ids import new_id
from control_plane.services.deps import Deps
from control_plane.store.models import Usage
from control_plane.store.unit_of_work import Transaction
from penstock.api.ids import JobId, ProjectId, UsageId

BATCH = 100
LONGEST = timedelta(hours=6)
"""So many leases, and so much of each, one transaction counts: after a long pause too it is short.
"""
_Key = tuple[JobId, str, datetime]
"""Job, chip type, start of the hour."""


def roll_up_usage(deps: Deps) -> int:
    """The number of leases that moved on. Each remembers how far it is rolled up, in the same
    transaction as the sums: running it twice, or after a crash, counts nothing twice.
    """
    work = partial(_roll_up, now=deps.clock.now())
    total = 0
    while moved := deps.run(work):
        total += moved
    return total


def hours(start: datetime, end: datetime) -> Iterator[tuple[datetime, float]]:
    """The interval cut at full hours: (start of the hour, seconds within it)."""
    while start < end:
        hour = start.replace(minute=0, second=0, microsecond=0)
        cut = min(end, hour + timedelta(hours=1))
        yield hour, (cut - start).total_seconds()
        start = cut


def _roll_up(tx: Transaction, now: datetime) -> int:
    leases = tx.leases.to_roll_up(tx.lease_time, BATCH)
    ahead = now - tx.lease_time  # hours are those of the wall, seconds those of the lease clock
    used: Counter[_Key] = Counter()
    projects = {lease.job_id: lease.project_id for lease in leases}
    for lease in leases:
        start = lease.rolled_up_to or lease.granted_at
        end = min(lease.ended_at or tx.lease_time, start + LONGEST)
        for hour, seconds in hours(start + ahead, end + ahead):
            for chip in lease.chips:
                used[lease.job_id, chip["type"], hour] += seconds * chip["milli"] / 1000.0
        lease.rolled_up_to = max(start, end)
    known = tx.usages.of_hours({job_id for job_id, _, _ in used}, {hour for _, _, hour in used})
    for key, chip_seconds in sorted(used.items()):
        row = known.get(key) or _new_row(tx, projects[key[0]], key)
        row.chip_seconds += chip_seconds
    return len(leases)


def _new_row(tx: Transaction, project_id: ProjectId, key: _Key) -> Usage:
    job_id, chip_type, hour = key
    row = Usage(
        id=new_id(UsageId),
        project_id=project_id,
        job_id=job_id,
        chip_type=chip_type,
        hour=hour,
        chip_seconds=0.0,
    )
    tx.usages.add(row)
    return row
