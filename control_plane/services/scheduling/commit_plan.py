"""Commits a plan in slices: what of each is not overtaken, and why the rest waits."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from control_plane.hints.topics import CYCLE, job_topic
from control_plane.services.gangs.last_attempt import last_attempt
from control_plane.services.gangs.moves import change_message
from control_plane.services.gangs.settle import settle_job, stop_gang
from control_plane.services.scheduling.place_gang import place_gang
from control_plane.store.models import Gang, Job, Replica
from control_plane.store.snapshot.snapshot_reader import PoolReading
from control_plane.store.unit_of_work import Transaction
from penstock.api.ids import ChipId, GangId, JobId, NodeId
from penstock.api.messages import say
from penstock.api.states import JobState, Outcome
from penstock.catalogue import render
from scheduler import model
from scheduler.model import Code, Place, Plan, Preempt

SLICE: Final = 50
"""Replicas that one transaction places, or stops, and reasons that it writes down. On two busy
cores that takes a tenth of a second, a fifth at most; then whoever waits to write comes in."""


@dataclass(frozen=True, slots=True)
class Deferral:
    """A gang waits for another reason than before."""

    gang_id: model.GangId
    code: str


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
    every: list[Decision] = [*plan.preemptions, *plan.placements, *_changed(pool, plan)]
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
            _note_wait(tx, *found, it.code, pool.lease_time)


def _changed(pool: PoolReading, plan: Plan) -> Iterator[Deferral]:
    """Where reasons changed: a job that goes on waiting costs no write. A back-off that ended since
    the plan still has to be noticed: the plan's time counts.
    """
    for gang_id, code in sorted(plan.deferrals.items()):
        seen = pool.waits[gang_id]
        ended = seen.not_before is not None and seen.not_before <= pool.lease_time
        if seen.code != code.value or ended:
            yield Deferral(gang_id, code.value)


def _note_wait(tx: Transaction, job: Job, gang: Gang, code: str, planned_at: datetime) -> None:
    if gang.not_before is not None and gang.not_before <= planned_at:
        gang.not_before = None
    gang.wait = {"code": code}
    message = gang.coded_message
    if code != Code.BACKING_OFF:  # until when, and why, was said when the attempt ended
        message = say("waits", why=code, job=job.name, last=last_attempt(job, gang))
    change_message(gang, message, code)
    if job.state == JobState.QUEUED:
        change_message(job, message, code)
        tx.hints.add(job_topic(job.id))
