"""Takes back the chips of replicas whose node has been silent past expiry and margin, where a
deadline proves their end.
"""

from __future__ import annotations

from datetime import datetime
from functools import partial

from control_plane.domain.lease import is_over
from control_plane.domain.replica import LIVE
from control_plane.services.deps import Deps
from control_plane.services.gangs.moves import end_lease, move_replica
from control_plane.services.gangs.settle import settle
from control_plane.store.models import Lease
from control_plane.store.unit_of_work import Transaction
from penstock.api.ids import LeaseId
from penstock.api.messages import say
from penstock.api.states import LeaseState, ReplicaState


def expire_leases(deps: Deps) -> int:
    """The number of leases that ended. By then the node's supervisors have stopped the
    replicas, whether their agent lived or not.
    """
    with deps.store.read() as tx:
        due = [lease.id for lease in tx.leases.held() if _is_due(lease, tx.lease_time)]
    for lease_id in due:
        deps.run(partial(_expire, deps=deps, lease_id=lease_id))
    return len(due)


def _is_due(lease: Lease, lease_time: datetime) -> bool:
    return is_over(lease.proof, lease.expires_at, lease.ttl_s, lease_time)


def _expire(tx: Transaction, deps: Deps, lease_id: LeaseId) -> None:
    now = deps.clock.now()
    lease = tx.leases.get(lease_id)
    if lease is None or lease.state != LeaseState.HELD or not _is_due(lease, tx.lease_time):
        return
    end_lease(tx, lease, LeaseState.EXPIRED, now)
    replica = tx.replicas.get(lease.replica_id)
    if replica is None or replica.state not in LIVE:
        return
    replica.ended_at, replica.ready = now, False
    move_replica(tx, replica, ReplicaState.LOST, say("lease_expired"), now)
    tx.nodes.bump_generation([replica.node_id])
    gang, job = tx.gangs.get(replica.gang_id), tx.jobs.get(replica.job_id)
    if gang is not None and job is not None and gang.attempt == replica.attempt:
        settle(tx, job, gang, now)
