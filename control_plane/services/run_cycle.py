"""One scheduling cycle: snapshot, plan, invariants, commit under version guards, launch, record."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from typing import Any

from control_plane.ids import new_id
from control_plane.launchers.base import Launch
from control_plane.services.deps import Deps
from control_plane.services.last_attempt import last_attempt
from control_plane.services.lead import check_leads
from control_plane.services.place_gang import Seat, place_gang
from control_plane.services.settle import settle_job, stop_gang
from control_plane.store.models import Cycle
from control_plane.store.snapshot_reader import Pool, read_pool
from control_plane.store.unit_of_work import Transaction
from control_plane.topics import CYCLE, job_topic
from penstock.api.states import JobState, Outcome
from scheduler import invariants
from scheduler.model import Code, Placement, Plan, Preemption
from scheduler.planner import plan as make_plan
from scheduler.policies.priority_age import POLICY

MAX_RECORDED = 1000


@dataclass(slots=True)
class _Outcome:
    """What the commit made of the plan."""

    placed: list[dict[str, Any]] = field(default_factory=list)
    preempted: list[dict[str, Any]] = field(default_factory=list)
    deferred: list[dict[str, Any]] = field(default_factory=list)
    launches: list[Launch] = field(default_factory=list)
    skipped: int = 0


@dataclass(frozen=True, slots=True)
class _Cycle:
    """What triggered a cycle and what it saw."""

    epoch: int
    trigger: str
    started: datetime
    saw: dict[str, Any]

    def row(self, outcome: _Outcome | None, duration_s: float, message: str = "") -> Cycle:
        made = outcome or _Outcome()
        if made.skipped:
            message = f"{made.skipped} decisions were overtaken and left to the next cycle"
        return Cycle(
            id=new_id("cycle"), epoch=self.epoch, trigger=self.trigger, started_at=self.started,
            duration_s=duration_s, saw=self.saw, placed=made.placed, preempted=made.preempted,
            deferred=made.deferred[:MAX_RECORDED], committed=outcome is not None, message=message,
        )  # fmt: skip


def run_cycle(deps: Deps, epoch: int, trigger: str) -> int:
    """The number of gangs placed. A plan that breaks an invariant is recorded, not committed.

    Raises Conflict `deposed` when the epoch is over: then whoever leads now decides.
    """
    started, clock = deps.clock.now(), time.perf_counter()
    with deps.store.read() as tx:
        pool = read_pool(tx, started, deps.rules.suspect_after_s)
    if not pool.snapshot.queued:
        return 0
    plan = make_plan(pool.snapshot, POLICY, started)
    broken = invariants.check(pool.snapshot, plan)
    cycle = _Cycle(epoch, trigger, started, _saw(pool))
    if broken:
        message = "; ".join(str(violation) for violation in broken)
        row = cycle.row(None, time.perf_counter() - clock, message)
        deps.run(lambda tx: tx.history.add(row))
        return 0
    commit = partial(_commit, deps=deps, pool=pool, plan=plan, cycle=cycle, clock=clock)
    outcome = deps.run(commit)
    deps.launcher.launch(outcome.launches)
    return len(outcome.placed)


def _commit(
    tx: Transaction, deps: Deps, pool: Pool, plan: Plan, cycle: _Cycle, clock: float
) -> _Outcome:
    """All of the plan that is not overtaken, and its record, in one transaction."""
    now = deps.clock.now()
    check_leads(tx, cycle.epoch, now)
    outcome = _Outcome()
    taken: dict[str, bool] = {}
    for preemption in plan.preemptions:
        _preempt(tx, preemption, now, outcome)
    for placement in plan.placements:
        _place(tx, placement, pool.node_versions, taken, now, outcome)
    for gang_id, reason in plan.deferrals.items():
        _defer(tx, gang_id, reason.code.value, pool, cycle.started, outcome)
    tx.history.add(cycle.row(outcome, time.perf_counter() - clock))
    if outcome.skipped:
        tx.hints.add(CYCLE)
    return outcome


def _place(
    tx: Transaction, placement: Placement, versions: Mapping[str, int], taken: dict[str, bool],
    now: datetime, outcome: _Outcome,
) -> None:  # fmt: skip
    gang = tx.jobs.gang(placement.gang_id)
    job = tx.jobs.get(placement.job_id)
    if gang is None or job is None or gang.version != placement.version:
        outcome.skipped += 1
        return
    for node_id in sorted({seat.node_id for seat in placement.seats}):
        if node_id not in taken:
            taken[node_id] = tx.nodes.bump_version(node_id, versions[node_id])
        if not taken[node_id]:
            outcome.skipped += 1
            return
    seats = [
        Seat(
            seat.rank,
            seat.node_id,
            {str(chip): milli for chip, milli in seat.chips.items()},
            seat.cores_milli,
            seat.memory_bytes,
        )
        for seat in placement.seats
    ]
    replicas = place_gang(tx, job, gang, seats, now)
    outcome.launches += [Launch(row.id, row.node_id, row.attempt) for row in replicas]
    outcome.placed.append(
        {
            "job": job.id, "name": job.name, "gang": gang.index, "attempt": gang.attempt,
            "replicas": [
                {"rank": row.rank, "node": row.node_id, "chips": [c["type"] for c in row.chips]}
                for row in replicas
            ],
        }
    )  # fmt: skip


def _preempt(tx: Transaction, preemption: Preemption, now: datetime, outcome: _Outcome) -> None:
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


def _defer(
    tx: Transaction, gang_id: str, code: str, pool: Pool, now: datetime, outcome: _Outcome
) -> None:
    """Writes the reason down where it changed: a job that goes on waiting costs no write. The
    sentence with its counts is `explain_job`'s, made afresh whenever somebody asks. `now` is the
    plan's: a back-off that ended since then still has to be noticed.
    """
    seen = pool.waits[gang_id]
    outcome.deferred.append({"job": seen.job_id, "gang": seen.index, "code": code})
    if seen.code == code and not (seen.not_before and seen.not_before <= now):
        return
    gang = tx.jobs.gang(gang_id)
    job = tx.jobs.get(seen.job_id)
    if gang is None or job is None or gang.state != JobState.QUEUED:
        return
    if gang.not_before is not None and gang.not_before <= now:
        gang.not_before = None
    gang.wait, gang.reason = {"code": code}, code
    if code != Code.BACKING_OFF:  # until when, and why, was said when the attempt ended
        past = last_attempt(gang)
        why = f"waits ({code.replace('_', ' ')}); details: penstock job explain {job.name}"
        gang.message = "; ".join(filter(None, (why, past)))
    if job.state == JobState.QUEUED:
        job.reason, job.message = gang.reason, gang.message
        tx.hints.add(job_topic(job.id))


def _saw(pool: Pool) -> dict[str, Any]:
    snapshot = pool.snapshot
    return {
        "nodes": len(snapshot.nodes), "queued": len(snapshot.queued),
        "running": len(snapshot.running),
        "chips": sum(len(node.chips) for node in snapshot.nodes),
    }  # fmt: skip
