"""The dry run: would this job fit now, where, and if not, why. Writes nothing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace

from control_plane.services.deps import Caller, Deps
from control_plane.services.jobs.check_spec import check_spec
from control_plane.services.jobs.submit import find_project, make_job
from control_plane.services.jobs.wait_document import wait_document
from control_plane.services.scheduling.hide_names import hide_names
from control_plane.store.snapshot.snapshot_reader import Pool
from control_plane.store.unit_of_work import Transaction
from penstock.api.plans import PlanAnswer, PlannedReplica, Removal
from penstock.api.specs import JobSpec
from scheduler.explain.explain import explain
from scheduler.model import ChipId, Placement, Plan
from scheduler.planner import plan as make_plan
from scheduler.policies.priority_age import POLICY


class _Undo(Exception):
    """Leaves the transaction without a trace."""


def plan_job(deps: Deps, caller: Caller, spec: JobSpec) -> PlanAnswer:
    """What the next cycle would do with the job, among all that wait: the job is submitted in a
    transaction that is rolled back. Raises as a submit would, but for a taken name.
    """
    now = deps.clock.now()
    job_id, pool = "", None
    try:
        with deps.store.write() as tx:
            job_id = _submit(tx, deps, caller, spec)
            pool = deps.read_pool(tx, now)
            pool = replace(pool, snapshot=hide_names(tx, pool.snapshot, caller))
            raise _Undo
    except _Undo:
        pass
    assert pool is not None
    return _answer(job_id, pool, make_plan(pool.snapshot, POLICY, now))


def _submit(tx: Transaction, deps: Deps, caller: Caller, spec: JobSpec) -> str:
    spec = check_spec(tx, spec)
    project = find_project(tx, caller, spec.project)
    nameless = spec.model_copy(update={"name": None})
    job = make_job(tx, deps, caller, project, nameless, deps.clock.now())
    tx.session.flush()
    return job.id


def _answer(job_id: str, pool: Pool, plan: Plan) -> PlanAnswer:
    mine = [gang for gang in pool.snapshot.queued if gang.job_id == job_id]
    placed = [it for it in plan.placements if it.job_id == job_id]
    waiting = [gang for gang in mine if gang.id in plan.deferrals]
    names = {gang.id: gang.job_name for gang in pool.snapshot.running}
    preempts = [
        names[it.victim_id] for it in plan.preemptions if it.for_gang_id in {g.id for g in mine}
    ]
    answer = PlanAnswer(
        fits=not waiting, sentence="fits now", preempts=sorted(preempts),
        replicas=[replica for it in placed for replica in _replicas(it, pool)],
    )  # fmt: skip
    if not waiting:
        return answer
    gang = waiting[0]
    document = wait_document(explain(plan.deferrals[gang.id], gang, pool.snapshot))
    removals = [Removal.model_validate(it) for it in document["removals"]]
    update = {
        "sentence": document["sentence"],
        "removals": removals,
        "unblock": document["unblock"],
    }
    return answer.model_copy(update=update)


def _replicas(placement: Placement, pool: Pool) -> list[PlannedReplica]:
    nodes = {node.id: node.name for node in pool.snapshot.nodes}
    types = {chip.id: chip.type for node in pool.snapshot.nodes for chip in node.chips}
    return [
        PlannedReplica(rank=seat.rank, node=nodes[seat.node_id], chips=_by_type(seat.chips, types))
        for seat in placement.seats
    ]


def _by_type(chips: Mapping[ChipId, int], types: Mapping[ChipId, str]) -> dict[str, int]:
    counts: Counter[str] = Counter()
    for chip, milli in chips.items():
        counts[types[chip]] += milli
    return dict(counts)
