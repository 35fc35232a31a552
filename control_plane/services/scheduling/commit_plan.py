"""Commits a plan in slices: what of each is not overtaken, and why the rest waits."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from control_plane.domain.lease import Proof, expires_at, proof_of
from control_plane.hints.topics import CYCLE
from control_plane.ids import new_id
from control_plane.services.gangs.moves import move_gang, stated
from control_plane.services.gangs.replica_message import chips_of, nodes_of
from control_plane.services.gangs.settle import settle_job, stop_gang
from control_plane.services.scheduling.waits import Deferral, changed_waits, note_wait
from control_plane.store.models import Chip, Gang, Job, Lease, Node, Replica
from control_plane.store.snapshot.snapshot_reader import PoolReading
from control_plane.store.unit_of_work import Transaction
from penstock.api.ids import ChipId, GangId, JobId, LeaseId, NodeId, ReplicaId
from penstock.api.messages import say
from penstock.api.states import JobState, LeaseState, Outcome, ReplicaState
from penstock.catalogue import render
from scheduler import model
from scheduler.model import Place, Plan, Preempt, Seat

SLICE: Final = 50
"""Replicas that one transaction places, or stops, and reasons that it writes down. On two busy
cores that takes a tenth of a second, a fifth at most; then whoever waits to write comes in."""


Decision = Place | Preempt | Deferral


@dataclass(frozen=True, slots=True)
class Committed:
    """What became of decisions. `taken` says how often each node's version was raised."""

    placed: list[dict[str, Any]] = field(default_factory=list)
    preempted: list[dict[str, Any]] = field(default_factory=list)
    taken: Counter[NodeId] = field(default_factory=Counter)
    skipped: int = 0

    def __add__(self, more: Committed) -> Committed:
        return Committed(
            self.placed + more.placed,
            self.preempted + more.preempted,
            self.taken + more.taken,
            self.skipped + more.skipped,
        )


def slices(pool: PoolReading, plan: Plan) -> Iterator[Sequence[Decision]]:
    """The decisions that each transaction commits; one without any where nothing changes. A gang is
    placed whole, however large.
    """
    ranks = {gang.id: len(gang.chips) for gang in pool.snapshot.running}
    every: list[Decision] = [*plan.preemptions, *plan.placements, *changed_waits(pool, plan)]
    some: list[Decision] = []
    room = SLICE
    for decision in every:
        size = _size(decision, ranks)
        if some and size > room:
            yield some
            some, room = [], SLICE
        some.append(decision)
        room -= size
    yield some


def commit_slice(
    tx: Transaction,
    pool: PoolReading,
    decisions: Sequence[Decision],
    taken: Counter[NodeId],
    now: datetime,
) -> Committed:
    """Writes down those that still stand. Rows are read and written for all of them together: what
    a cycle costs must not grow by a dozen statements with each gang. `taken` are the node versions
    that earlier slices raised.
    """
    outcome = Committed()
    for preemption in decisions:
        if isinstance(preemption, Preempt):
            outcome += _preempt(tx, preemption, now)
    placements = [it for it in decisions if isinstance(it, Place)]
    outcome += _place(tx, pool, placements, taken, now)
    _defer(tx, pool, [it for it in decisions if isinstance(it, Deferral)])
    if outcome.skipped:
        tx.hints.add(CYCLE)
    return outcome


class _Rows:
    """Jobs and all of their gangs, read at once."""

    def __init__(self, tx: Transaction, job_ids: Collection[JobId]) -> None:
        self.jobs = tx.jobs.many(job_ids)
        self.gangs: dict[GangId, Gang] = {}
        self.of_job: dict[JobId, list[Gang]] = {}
        for gang in tx.gangs.of_jobs(job_ids):
            self.gangs[gang.id] = gang
            self.of_job.setdefault(gang.job_id, []).append(gang)

    def find(self, job_id: JobId, gang_id: GangId) -> tuple[Job, Gang] | None:
        job, gang = self.jobs.get(job_id), self.gangs.get(gang_id)
        return None if job is None or gang is None else (job, gang)


def _size(decision: Decision, ranks: Mapping[model.GangId, int]) -> int:
    if isinstance(decision, Place):
        return len(decision.seats)
    return ranks.get(decision.victim_id, 1) if isinstance(decision, Preempt) else 1


def _place(
    tx: Transaction,
    pool: PoolReading,
    placements: Sequence[Place],
    taken: Counter[NodeId],
    now: datetime,
) -> Committed:
    if not placements:
        return Committed()
    nodes = {node for placement in placements for node in _nodes_of(placement)}
    ours = tx.nodes.take({node: pool.node_versions[node] + taken[node] for node in nodes})
    homes = tx.nodes.many(nodes)
    rows = _Rows(tx, {JobId(placement.job_id) for placement in placements})
    tx.events.remember(rows.jobs)
    seats = [seat for placement in placements for seat in placement.seats]
    chips = tx.chips.many({ChipId(chip) for seat in seats for chip in seat.chips})
    records: list[dict[str, Any]] = []
    placed: list[Replica] = []
    for placement in placements:
        found = _standing(rows, placement, ours)
        if found is not None:
            replicas = place_gang(tx, *found, placement.seats, chips, homes, now)
            records.append(_placed(*found, replicas))
            placed += replicas
    tx.nodes.bump_generation({row.node_id for row in placed})
    for job_id in sorted({row.job_id for row in placed}):
        settle_job(tx, rows.jobs[job_id], now, rows.of_job[job_id])
    skipped = len(placements) - len(records)
    return Committed(records, taken=Counter(ours), skipped=skipped)


def _nodes_of(placement: Place) -> Set[NodeId]:
    return {NodeId(seat.node_id) for seat in placement.seats}


def _standing(rows: _Rows, placement: Place, ours: Set[NodeId]) -> tuple[Job, Gang] | None:
    """The placement's rows; None where the gang or a node of it has changed since the plan."""
    found = rows.find(JobId(placement.job_id), GangId(placement.gang_id))
    if found is None or found[1].version != placement.version:
        return None
    return found if _nodes_of(placement) <= ours else None


def _placed(job: Job, gang: Gang, replicas: Sequence[Replica]) -> dict[str, Any]:
    return {
        "job": job.id, "name": job.name, "gang": gang.index, "attempt": gang.attempt,
        "replicas": [
            {"rank": row.rank, "node": row.node_id, "chips": [c["type"] for c in row.chips]}
            for row in replicas
        ],
    }  # fmt: skip


def _preempt(tx: Transaction, preemption: Preempt, now: datetime) -> Committed:
    gang = tx.gangs.get(GangId(preemption.victim_id))
    job = tx.jobs.get(gang.job_id) if gang is not None else None
    if gang is None or job is None or gang.state not in (JobState.STARTING, JobState.RUNNING):
        return Committed(skipped=1)
    by = preemption.reason
    why = say(
        "preempted", by_job=by.by_job, priority=by.priority, victim_priority=by.victim_priority
    )
    stop_gang(tx, job, gang, Outcome.PREEMPTED, why, now)
    settle_job(tx, job, now)
    above = tx.gangs.get(GangId(preemption.for_gang_id))
    record = {
        "job": job.id, "name": job.name, "reason": render(why),
        "for": above.job_id if above is not None else None,
    }  # fmt: skip
    return Committed(preempted=[record])


def _defer(tx: Transaction, pool: PoolReading, deferrals: Sequence[Deferral]) -> None:
    """Writes reasons down. The sentence with its counts is `explain_job`'s, made afresh whenever
    somebody asks.
    """
    if not deferrals:
        return
    rows = _Rows(tx, {pool.waits[it.gang_id].job_id for it in deferrals})
    for it in deferrals:
        found = rows.find(pool.waits[it.gang_id].job_id, GangId(it.gang_id))
        if found is not None and found[1].state == JobState.QUEUED:
            note_wait(tx, *found, it.code, pool.lease_time)


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
