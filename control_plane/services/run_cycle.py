"""One scheduling cycle: snapshot, plan, invariants, commit under version guards, launch, record."""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any

from control_plane.ids import new_id
from control_plane.services.commit_plan import Committed, commit_plan
from control_plane.services.deps import Deps
from control_plane.services.lead import check_leads
from control_plane.store.models import Cycle
from control_plane.store.snapshot_reader import Pool
from control_plane.store.unit_of_work import Transaction
from scheduler import invariants
from scheduler.model import Plan
from scheduler.planner import plan as make_plan
from scheduler.policies.priority_age import POLICY

MAX_RECORDED = 1000


@dataclass(frozen=True, slots=True)
class _Cycle:
    """What triggered a cycle and what it saw."""

    epoch: int
    trigger: str
    started: datetime
    saw: dict[str, Any]

    def row(self, outcome: Committed | None, duration_s: float, message: str = "") -> Cycle:
        made = outcome or Committed()
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
        if not tx.jobs.has_queued_gang():
            return 0
        pool = deps.read_pool(tx, started)
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
) -> Committed:
    """All of the plan that is not overtaken, and its record, in one transaction."""
    now = deps.clock.now()
    check_leads(tx, cycle.epoch)
    outcome = commit_plan(tx, pool, plan, now)
    tx.history.add(cycle.row(outcome, time.perf_counter() - clock))
    return outcome


def _saw(pool: Pool) -> dict[str, Any]:
    snapshot = pool.snapshot
    return {
        "nodes": len(snapshot.nodes), "queued": len(snapshot.queued),
        "running": len(snapshot.running),
        "chips": sum(len(node.chips) for node in snapshot.nodes),
    }  # fmt: skip
