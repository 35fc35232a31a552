"""Forgets what is past its retention: cycles, events, webhooks, idempotency keys, and the logs
of jobs that ended long ago.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from functools import partial

from control_plane.domain.job import TERMINAL
from control_plane.services.deps import Deps
from control_plane.store.unit_of_work import Transaction
from penstock.api.ids import JobId

BATCH = 200
"""Jobs whose logs are deleted at once."""
SLICE = 1000
"""Rows that one transaction deletes: who waits for a turn to write comes in between."""
_Forget = Callable[[Transaction], int]


def forget_old(deps: Deps, retention: timedelta) -> int:
    """The number of rows deleted. Jobs themselves, their checkpoints and their use stay."""
    before = deps.clock.now() - retention
    every: tuple[_Forget, ...] = (
        lambda tx: tx.cycles.forget_before(before, SLICE),
        lambda tx: tx.events.forget_others_before(before, SLICE),
        lambda tx: tx.deliveries.forget_before(before, SLICE),
        lambda tx: tx.idempotency_keys.forget_before(before, SLICE),
    )
    total = sum(_in_slices(deps, forget) for forget in every)
    while job_ids := _ended(deps, before):
        total += _in_slices(deps, partial(_forget_jobs, before=before, job_ids=job_ids))
    return total


def _in_slices(deps: Deps, forget: _Forget) -> int:
    total = num = deps.run(forget)
    while num >= SLICE:
        num = deps.run(forget)
        total += num
    return total


def _ended(deps: Deps, before: datetime) -> list[JobId]:
    """Jobs whose past is still there; of these the logs are deleted first."""
    with deps.store.read() as tx:
        ended = [job.id for job in tx.jobs.ended_before(before, TERMINAL, BATCH)]
        replicas = [row.id for job_id in ended for row in tx.replicas.of_job(job_id)]
    for replica_id in replicas:
        deps.logs.delete(replica_id)
    return ended


def _forget_jobs(tx: Transaction, before: datetime, job_ids: list[JobId]) -> int:
    return tx.events.forget_before(before, job_ids, SLICE)
