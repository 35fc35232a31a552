"""Commits one placement: replicas, leases and the gang's new attempt, under its caller's guards."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

from control_plane.domain.lease import Proof, expires_at, proof_of
from control_plane.ids import new_id
from control_plane.services.gangs.moves import move_gang, stated
from control_plane.services.gangs.replica_message import chips_of, nodes_of
from control_plane.store.models import Chip, Gang, Job, Lease, Node, Replica
from control_plane.store.unit_of_work import Transaction
from penstock.api.ids import ChipId, LeaseId, NodeId, ReplicaId
from penstock.api.messages import say
from penstock.api.states import JobState, LeaseState, ReplicaState
from scheduler.model import Seat


def place_gang(
    tx: Transaction,
    job: Job,
    gang: Gang,
    seats: Sequence[Seat],
    chips: Mapping[ChipId, Chip],
    nodes: Mapping[NodeId, Node],
    now: datetime,
) -> list[Replica]:
    """Starts the gang's next attempt on the seats. The caller guards the versions of the gang and
    of its nodes, tells the nodes, and settles the job. `chips` and `nodes` are by id.
    """
    gang.attempt += 1
    gang.master = gang.wait = gang.outcome = gang.not_before = None
    gang.exit_code = gang.exit_reason = None
    replicas = [_replica(job, gang, seat, len(seats), chips, now) for seat in seats]
    for replica in replicas:
        tx.replicas.add(replica)
        proof = proof_of(nodes[replica.node_id].launcher)
        tx.leases.add(_lease(job, replica, proof, tx.lease_time))
    where, more = nodes_of(replicas, {it.id: it.name for it in nodes.values()})
    chips_held = chips_of(replicas)
    message = say("placed", attempt=gang.attempt, chips=chips_held, nodes=where, more=more)
    move_gang(tx, job, gang, JobState.STARTING, message, now)
    return replicas


def _replica(
    job: Job, gang: Gang, seat: Seat, world_size: int, chips: Mapping[ChipId, Chip], now: datetime
) -> Replica:
    return Replica(
        id=new_id(ReplicaId),
        project_id=job.project_id,
        job_id=job.id,
        gang_id=gang.id,
        gang_index=gang.index,
        attempt=gang.attempt,
        rank=seat.rank,
        world_size=world_size,
        node_id=NodeId(seat.node_id),
        desired="run",
        stop_reason=None,
        chips=[_held(chips[ChipId(it)], milli) for it, milli in sorted(seat.chips.items())],
        cores_milli=seat.cores_milli,
        memory_bytes=seat.memory_bytes,
        address=None,
        ready=False,
        progress=None,
        speed=None,
        exit=None,
        log_bytes=0,
        created_at=now,
        started_at=None,
        ready_at=None,
        ended_at=None,
        **stated(ReplicaState.ASSIGNED, say("assigned"), now, "placed"),
    )


def _held(chip: Chip, milli: int) -> dict[str, object]:
    return {
        "chip_id": chip.id, "key": chip.key, "vendor": chip.vendor, "type": chip.type,
        "index": chip.index, "milli": milli, "emulated": chip.emulated,
    }  # fmt: skip


def _lease(job: Job, replica: Replica, proof: Proof, now: datetime) -> Lease:
    ttl_s = float(job.spec["disconnect_grace"])
    return Lease(
        id=new_id(LeaseId),
        replica_id=replica.id,
        project_id=job.project_id,
        job_id=job.id,
        node_id=replica.node_id,
        queue=job.queue,
        epoch=replica.attempt,
        state=LeaseState.HELD,
        proof=proof,
        chips=replica.chips,
        cores_milli=replica.cores_milli,
        memory_bytes=replica.memory_bytes,
        ttl_s=ttl_s,
        granted_at=now,
        began_at=None,
        expires_at=expires_at(now, ttl_s),
        ended_at=None,
        rolled_up_to=None,
    )
