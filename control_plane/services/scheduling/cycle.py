"""One scheduling cycle: snapshot, plan, invariants; then, slice by slice, a commit under version
guards with the cycle's record. The commit tells the nodes.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial

from control_plane.ids import new_id
from control_plane.services.deps import Deps
from control_plane.services.scheduling.commit_plan import Committed, Decision, commit_slice, slices
from control_plane.services.scheduling.lead import check_leads
from control_plane.store.models import Cycle
from control_plane.store.snapshot.snapshot_reader import PoolReading
from control_plane.store.unit_of_work import Transaction
from penstock.api.ids import CycleId
from penstock.json_types import Json
from scheduler import invariants
from scheduler.model import Plan
from scheduler.plan import plan as make_plan

MAX_RECORDED = 1000


@dataclass(frozen=True, slots=True)
class _Cycle:
    """What triggered a cycle, what it saw, and what it left waiting."""

    epoch: int
    trigger: str
    started: datetime
    saw: dict[str, int]
    deferred: list[Json]
    clock: float = field(default_factory=time.perf_counter)
    id: CycleId = field(default_factory=lambda: new_id(CycleId))

    def row(self, outcome: Committed | None, message: str = "") -> Cycle:
        made = outcome or Committed()
        if made.skipped:
            message = f"{made.skipped} decisions were overtaken and left to the next cycle"
        return Cycle(
            id=self.id,
            epoch=self.epoch,
            trigger=self.trigger,
            started_at=self.started,
            duration_s=time.perf_counter() - self.clock,
            saw=self.saw,
            placed=made.placed,
            preempted=made.preempted,
            deferred=self.deferred,
            committed=outcome is not None,
            message=message,
        )


def run_cycle(deps: Deps, epoch: int, trigger: str) -> int:
    """The number of gangs placed. A plan that breaks an invariant is recorded, not committed.

    Raises Conflict `deposed` when the epoch is over: then whoever leads now decides, also about
    what the slices so far have left.
    """
    started, clock = deps.clock.now(), time.perf_counter()
    with deps.store.read() as tx:
        if not tx.gangs.any_queued():
            return 0
        pool = deps.read_pool(tx, started)
    plan = make_plan(pool.snapshot, deps.policy, started)
    broken = invariants.check(pool.snapshot, plan)
    deferred = _deferred(pool, plan) if not broken else []
    cycle = _Cycle(epoch, trigger, started, _saw(pool), deferred, clock)
    if broken:
        row = cycle.row(None, "; ".join(str(violation) for violation in broken))
        deps.run(lambda tx: tx.cycles.record(row))
        return 0
    done = Committed()
    for some in slices(pool, plan):
        done += deps.run(partial(_commit, deps=deps, pool=pool, some=some, cycle=cycle, done=done))
    return len(done.placed)


def _commit(
    tx: Transaction,
    deps: Deps,
    pool: PoolReading,
    some: Sequence[Decision],
    cycle: _Cycle,
    done: Committed,
) -> Committed:
    """What of a slice is not overtaken, and the cycle's record so far, in one transaction. `done`
    is what the slices before it came to.
    """
    now = deps.clock.now()
    check_leads(tx, cycle.epoch)
    made = commit_slice(tx, pool, some, done.taken, now)
    tx.cycles.record(cycle.row(done + made))
    return made


def _deferred(pool: PoolReading, plan: Plan) -> list[Json]:
    waits = [(pool.waits[gang_id], code) for gang_id, code in plan.deferrals.items()]
    return [
        {"job": wait.job_id, "gang": wait.index, "code": code.value}
        for wait, code in waits[:MAX_RECORDED]
    ]


def _saw(pool: PoolReading) -> dict[str, int]:
    snapshot = pool.snapshot
    return {
        "nodes": len(snapshot.nodes),
        "queued": len(snapshot.queued),
        "running": len(snapshot.running),
        "chips": sum(len(node.chips) for node in snapshot.nodes),
    }
