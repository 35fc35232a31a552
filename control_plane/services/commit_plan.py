"""Commits a plan: what of it is not overtaken, and why the rest waits."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from control_plane.launchers.base import Launch
from control_plane.services.last_attempt import last_attempt
from control_plane.services.place_gang import place_gang
from control_plane.services.settle import settle_job, stop_gang
from control_plane.store.batches import in_batches
from control_plane.store.listing import node_names
from control_plane.store.models import Gang, Job, Replica
from control_plane.store.snapshot_reader import Pool
from control_plane.store.unit_of_work import Transaction
from control_plane.topics import CYCLE, job_topic
from penstock.api.states import JobState, Outcome
from scheduler.model import Code, Placement, Plan, Preemption


@dataclass(slots=True)
class Committed:
    """What became of a plan."""

    placed: list[dict[str, Any]] = field(default_factory=list)
    preempted: list[dict[str, Any]] = field(default_factory=list)
    deferred: list[dict[str, Any]] = field(default_factory=list)
    launches: list[Launch] = field(default_factory=list)
    skipped: int = 0


def commit_plan(tx: Transaction, pool: Pool, plan: Plan, now: datetime) -> Committed:
    """Writes down all decisions that still stand. Rows are read and written for all of them
    together: what a cycle costs must not grow by a dozen statements with each gang.
    """
    outcome = Committed()
    for preemption in plan.preemptions:
        _preempt(tx, preemption, now, outcome)
    _place_all(tx, plan.placements, pool.node_versions, now, outcome)
    _defer_all(tx, pool, plan, outcome)
    if outcome.skipped:
        tx.hints.add(CYCLE)
    return outcome


class _Rows:
    """Jobs and all of their gangs, read at once."""

    def __init__(self, tx: Transaction, job_ids: Collection[str]) -> None:
        self.jobs = {job.id: job for job in tx.jobs.many(job_ids)}
        self.gangs: dict[str, Gang] = {}
        self.of_job: dict[str, list[Gang]] = {}
        for gang in tx.jobs.gangs_of(job_ids):
            self.gangs[gang.id] = gang
            self.of_job.setdefault(gang.job_id, []).append(gang)

    def find(self, job_id: str, gang_id: str) -> tuple[Job, Gang] | None:
        job, gang = self.jobs.get(job_id), self.gangs.get(gang_id)
        return None if job is None or gang is None else (job, gang)


def _place_all(
    tx: Transaction, placements: Sequence[Placement], versions: Mapping[str, int], now: datetime,
    outcome: Committed,
) -> None:  # fmt: skip
    nodes = {node for placement in placements for node in _nodes_of(placement)}
    ours = tx.nodes.take({node: versions[node] for node in nodes})
    names = node_names(tx.session, nodes)
    for some in in_batches(placements):
        _place_some(tx, some, ours, names, now, outcome)


def _place_some(
    tx: Transaction, placements: Sequence[Placement], ours: Set[str], names: Mapping[str, str],
    now: datetime, outcome: Committed,
) -> None:  # fmt: skip
    rows = _Rows(tx, {placement.job_id for placement in placements})
    tx.events.remember(rows.jobs)
    seats = [seat for placement in placements for seat in placement.seats]
    chips = tx.nodes.many_chips({chip for seat in seats for chip in seat.chips})
    placed: list[Replica] = []
    for placement in placements:
        found = _standing(rows, placement, ours)
        if found is None:
            outcome.skipped += 1
            continue
        replicas = place_gang(tx, *found, placement.seats, chips, names, now)
        outcome.placed.append(_placed(*found, replicas))
        placed += replicas
    outcome.launches += [Launch(row.id, row.node_id, row.attempt) for row in placed]
    tx.nodes.bump_generation({row.node_id for row in placed})
    for job_id in sorted({row.job_id for row in placed}):
        settle_job(tx, rows.jobs[job_id], now, rows.of_job[job_id])


def _nodes_of(placement: Placement) -> Set[str]:
    return {seat.node_id for seat in placement.seats}


def _standing(rows: _Rows, placement: Placement, ours: Set[str]) -> tuple[Job, Gang] | None:
    """The placement's rows; None where the gang or a node of it has changed since the plan."""
    found = rows.find(placement.job_id, placement.gang_id)
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


def _preempt(tx: Transaction, preemption: Preemption, now: datetime, outcome: Committed) -> None:
    gang = tx.jobs.gang(preemption.victim_id)
    job = tx.jobs.get(gang.job_id) if gang is not None else None
    if gang is None or job is None or gang.state not in (JobState.STARTING, JobState.RUNNING):
        outcome.skipped += 1
        return
    stop_gang(tx, job, gang, Outcome.PREEMPTED, "preempted", preemption.reason, now)
    settle_job(tx, job, now)
    above = tx.jobs.gang(preemption.for_gang_id)
    outcome.preempted.append(
        {
            "job": job.id, "name": job.name, "reason": preemption.reason,
            "for": above.job_id if above is not None else None,
        }
    )  # fmt: skip


def _defer_all(tx: Transaction, pool: Pool, plan: Plan, outcome: Committed) -> None:
    """Writes reasons down where they changed: a job that goes on waiting costs no write. The
    sentence with its counts is `explain_job`'s, made afresh whenever somebody asks.
    """
    codes = {str(gang_id): reason.code.value for gang_id, reason in plan.deferrals.items()}
    for gang_id, code in codes.items():
        wait = pool.waits[gang_id]
        outcome.deferred.append({"job": wait.job_id, "gang": wait.index, "code": code})
    for some in in_batches(sorted(_changed(pool, codes))):
        rows = _Rows(tx, {pool.waits[gang_id].job_id for gang_id in some})
        for gang_id in some:
            found = rows.find(pool.waits[gang_id].job_id, gang_id)
            if found is not None and found[1].state == JobState.QUEUED:
                _defer(tx, *found, codes[gang_id], pool.lease_time)
        tx.session.flush()  # what is written need not be remembered


def _changed(pool: Pool, codes: Mapping[str, str]) -> Iterator[str]:
    """A back-off that ended since the plan still has to be noticed: the plan's time counts."""
    for gang_id, code in codes.items():
        seen = pool.waits[gang_id]
        if seen.code != code or (seen.not_before and seen.not_before <= pool.lease_time):
            yield gang_id


def _defer(tx: Transaction, job: Job, gang: Gang, code: str, planned_at: datetime) -> None:
    if gang.not_before is not None and gang.not_before <= planned_at:
        gang.not_before = None
    gang.wait, gang.reason = {"code": code}, code
    if code != Code.BACKING_OFF:  # until when, and why, was said when the attempt ended
        past = last_attempt(job, gang)
        why = f"waits ({code.replace('_', ' ')}); details: penstock job explain {job.name}"
        gang.message = "; ".join(filter(None, (why, past)))
    if job.state == JobState.QUEUED:
        job.reason, job.message = gang.reason, gang.message
        tx.hints.add(job_topic(job.id))
