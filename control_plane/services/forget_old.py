"""Forgets what is past its retention: cycles, events and logs of jobs that ended long ago."""

from __future__ import annotations

from datetime import datetime, timedelta
from functools import partial

from control_plane.domain.job import TERMINAL
from control_plane.services.deps import Deps
from control_plane.store.unit_of_work import Transaction

BATCH = 200


def forget_old(deps: Deps, retention: timedelta) -> int:
    """The number of rows deleted. Jobs themselves, their checkpoints and their use stay."""
    before = deps.clock.now() - retention
    with deps.store.read() as tx:
        ended = [job.id for job in tx.jobs.ended_before(before, TERMINAL, BATCH)]
        replicas = [row.id for job_id in ended for row in tx.replicas.of_job(job_id)]
    for replica_id in replicas:
        deps.logs.delete(replica_id)
    return deps.run(partial(_forget, before=before, job_ids=ended))


def _forget(tx: Transaction, before: datetime, job_ids: list[str]) -> int:
    cycles = tx.history.forget_cycles_before(before)
    return cycles + tx.history.forget_events_before(before, job_ids)
