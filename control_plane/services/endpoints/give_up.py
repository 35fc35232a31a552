"""Ends serving replicas that started and do not answer: their start has failed."""

from __future__ import annotations

from functools import partial
from typing import Any

from control_plane.services.deps import Deps
from control_plane.services.gangs.settle import fail_gang, settle_job
from control_plane.services.gangs.verdict import Cause, judge_cause
from control_plane.store.models import Job, Replica
from control_plane.store.unit_of_work import Transaction
from penstock.api.ids import ReplicaId
from penstock.api.messages import say
from penstock.api.specs import ServeSpec
from penstock.api.states import ExitReason, JobState


def give_up_servers(deps: Deps) -> int:
    """The number of replicas that were given up: those not ready within `serve.ready_within`."""
    with deps.store.read() as tx:
        due = [it.id for it in tx.replicas.unanswering() if _is_due(tx, it)]
    for replica_id in due:
        deps.run(partial(_give_up, deps=deps, replica_id=replica_id))
    return len(due)


def _is_due(tx: Transaction, replica: Replica) -> bool:
    job, lease = tx.jobs.get(replica.job_id), tx.leases.of_replica(replica.id)
    if job is None or lease is None or lease.began_at is None:
        return False
    return (tx.lease_time - lease.began_at).total_seconds() >= _ready_within_s(job)


def _ready_within_s(job: Job) -> float:
    given: Any = job.spec["serve"].get("ready_within")  # specs of before have none
    return float(ServeSpec.model_fields["ready_within"].default if given is None else given)


def _give_up(tx: Transaction, deps: Deps, replica_id: ReplicaId) -> None:
    now = deps.clock.now()
    replica = tx.replicas.get(replica_id)
    job = tx.jobs.get(replica.job_id) if replica is not None else None
    gang = tx.gangs.get(replica.gang_id) if replica is not None else None
    if replica is None or job is None or gang is None or replica.ready_at is not None:
        return
    if gang.attempt != replica.attempt or gang.state != JobState.RUNNING:
        return
    message = say("never_ready", within_s=_ready_within_s(job))
    cause = Cause(ExitReason.ERROR, "not_ready", message)
    fail_gang(tx, job, gang, judge_cause(tx, job, gang, replica, cause, now), now)
    settle_job(tx, job, now)
