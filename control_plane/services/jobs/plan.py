"""The dry run: would this job fit now, where, and if not, why. Reads, and writes nothing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace

from control_plane.services.deps import Caller, Deps
from control_plane.services.jobs.submit import build_job, find_project
from control_plane.services.scheduling.hide_names import hide_names
from control_plane.store.repositories.gangs import QueuedGang
from control_plane.store.snapshot.gang_reader import gang_of
from penstock.api.plans import PlanAnswer, PlannedReplica, Removal
from penstock.api.specs import JobSpec
from scheduler.explain import Explanation, explain
from scheduler.model import ChipId, Place, Snapshot
from scheduler.plan import plan as make_plan


def plan_job(deps: Deps, caller: Caller, spec: JobSpec) -> PlanAnswer:
    """What the next cycle would do with the job, among all that wait. Raises as a submit would,
    but for a taken name.
    """
    now = deps.clock.now()
    with deps.store.read() as tx:
        project = find_project(tx, caller, spec.project)
        nameless = spec.model_copy(update={"name": None})
        built = build_job(tx, deps, caller, project, nameless, now)
        snapshot = hide_names(deps.read_pool(tx, now).snapshot, caller)
    mine = [gang_of(QueuedGang.of(built.job, it)) for it in built.gangs]
    snapshot = replace(snapshot, queued=(*snapshot.queued, *mine))
    plan, ids = make_plan(snapshot, deps.policy, now), {gang.id for gang in mine}
    names = {gang.id: gang.job_name for gang in snapshot.running}
    wait = explain(snapshot, deps.policy, now, ids) if ids & plan.deferrals.keys() else None
    return PlanAnswer(
        fits=wait is None,
        sentence="fits now" if wait is None else wait.sentence,
        replicas=[
            it
            for place in plan.placements
            if place.gang_id in ids
            for it in _replicas(place, snapshot)
        ],
        preempts=sorted(names[it.victim_id] for it in plan.preemptions if it.for_gang_id in ids),
        removals=[] if wait is None else removals_of(wait),
        unblock=[] if wait is None else list(wait.unblock),
    )


def removals_of(wait: Explanation) -> list[Removal]:
    """What removed chips from consideration, as it is shown."""
    return [
        Removal(code=it.code.value, message=it.message, chips=dict(it.chips))
        for it in wait.removals
    ]


def _replicas(place: Place, snapshot: Snapshot) -> list[PlannedReplica]:
    nodes = {node.id: node.name for node in snapshot.nodes}
    types = {chip.id: chip.type for node in snapshot.nodes for chip in node.chips}
    return [
        PlannedReplica(rank=seat.rank, node=nodes[seat.node_id], chips=_by_type(seat.chips, types))
        for seat in place.seats
    ]


def _by_type(chips: Mapping[ChipId, int], types: Mapping[ChipId, str]) -> dict[str, int]:
    counts: Counter[str] = Counter()
    for chip, milli in chips.items():
        counts[types[chip]] += milli
    return dict(counts)
