"""Leadership and guards: what was decided on an older view of the cloud commits nothing."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

import pytest

from control_plane.errors import Conflict
from control_plane.services import run_cycle as module
from control_plane.services.lead import resign, try_to_lead
from control_plane.services.record_heartbeat import record_heartbeat
from control_plane.services.run_cycle import run_cycle
from control_plane.store.models import Cycle
from penstock.api.assignments import HeartbeatRequest
from penstock.api.states import ExitReason, JobState, NodeIntent
from scheduler import planner
from scheduler.model import Plan, Snapshot
from scheduler.policies.base import Policy
from tests.fakes.cluster import BIG, Cluster, a_gang, a_task, an_inventory


def test_one_leads_until_its_term_ends_and_each_change_takes_the_next_epoch(
    cluster: Cluster,
) -> None:
    deps = cluster.deps
    assert try_to_lead(deps, "x", 10) == 1
    assert try_to_lead(deps, "y", 10) is None
    cluster.clock.advance(9)
    assert try_to_lead(deps, "x", 10) == 1, "renewed in time"
    cluster.clock.advance(9)
    assert try_to_lead(deps, "y", 10) is None
    cluster.clock.advance(1)
    assert try_to_lead(deps, "y", 10) == 2
    assert try_to_lead(deps, "x", 10) is None


def test_who_resigns_lets_another_lead_at_once(cluster: Cluster) -> None:
    try_to_lead(cluster.deps, "x", 10)
    resign(cluster.deps, "y")
    assert try_to_lead(cluster.deps, "y", 10) is None
    resign(cluster.deps, "x")
    assert try_to_lead(cluster.deps, "y", 10) == 2


def test_a_leader_deposed_between_plan_and_commit_commits_nothing(
    cluster: Cluster, between: Callable[[Callable[[], object]], None]
) -> None:
    cluster.node("a")
    cluster.submit(a_task("one"))
    epoch = try_to_lead(cluster.deps, "old", 10)
    assert epoch is not None

    def depose() -> None:
        cluster.clock.advance(10)
        assert try_to_lead(cluster.deps, "new", 10) == epoch + 1

    between(depose)
    with pytest.raises(Conflict, match="is over"):
        run_cycle(cluster.deps, epoch, "test")
    assert (cluster.state("one"), cluster.leases()) == (JobState.QUEUED, [])
    assert run_cycle(cluster.deps, epoch + 1, "test") == 1


def test_a_leader_whose_term_ran_out_commits_nothing_although_nobody_followed(
    cluster: Cluster, between: Callable[[Callable[[], object]], None]
) -> None:
    cluster.node("a")
    cluster.submit(a_task("one"))
    epoch = try_to_lead(cluster.deps, "old", 10)
    assert epoch is not None
    between(lambda: cluster.clock.advance(10))
    with pytest.raises(Conflict, match="is over"):
        run_cycle(cluster.deps, epoch, "test")
    assert cluster.leases() == []


@pytest.mark.parametrize("change", ["cordon", "silence", "chip gone", "fewer cores"])
def test_a_node_that_changed_since_the_snapshot_gets_nothing(
    cluster: Cluster, between: Callable[[Callable[[], object]], None], change: str
) -> None:
    agent = cluster.node("a", {BIG: 1})
    cluster.submit(a_task("one"))

    def beat(chips: int, cores: int) -> object:
        less = an_inventory({BIG: chips}, cores=cores)
        request = HeartbeatRequest(instance="1", generation=0, inventory=less)
        return record_heartbeat(cluster.deps, agent.node_id, request)

    def silence() -> None:
        cluster.clock.advance(16)
        cluster.sweep()
        try_to_lead(cluster.deps, cluster.holder, 60)

    changes: dict[str, Callable[[], object]] = {
        "cordon": lambda: cluster.intend("a", NodeIntent.CORDONED),
        "silence": silence,
        "chip gone": lambda: beat(0, 32),
        "fewer cores": lambda: beat(1, 0),
    }
    between(changes[change])
    assert cluster.cycle() == 0
    assert (cluster.state("one"), cluster.leases()) == (JobState.QUEUED, [])
    assert "overtaken" in _last_cycle(cluster).message
    assert cluster.cycle() == 0, "and the next cycle knows better"


def test_a_job_cancelled_since_the_snapshot_is_not_placed(
    cluster: Cluster, between: Callable[[Callable[[], object]], None]
) -> None:
    cluster.node("a")
    cluster.submit(a_task("one"))
    cluster.submit(a_task("two"))
    between(lambda: cluster.cancel("one"))
    assert cluster.cycle() == 1
    assert (cluster.state("one"), cluster.state("two")) == (JobState.CANCELLED, JobState.STARTING)


def test_a_gang_is_left_whole_when_one_of_its_nodes_changed(
    cluster: Cluster, between: Callable[[Callable[[], object]], None]
) -> None:
    cluster.node("a", {BIG: 1})
    cluster.node("b", {BIG: 1})
    cluster.submit(a_gang("pair", 2))
    between(lambda: cluster.intend("b", NodeIntent.CORDONED))
    assert cluster.cycle() == 0
    assert (cluster.replicas("pair"), cluster.leases()) == ([], [])


def test_a_gang_that_could_go_on_while_the_plan_was_made_is_looked_at_again(
    cluster: Cluster, between: Callable[[Callable[[], object]], None]
) -> None:
    """Its back-off ended between snapshot and commit: the sweep must still see it as due."""
    cluster.node("a", {BIG: 1})
    cluster.submit(a_task("weak", retry={"limit": 5}))
    cluster.steps(2)
    cluster.finish("weak", ExitReason.ERROR)
    between(lambda: cluster.clock.advance(1.5))
    assert cluster.cycle() == 0
    with cluster.deps.store.read() as tx:
        assert tx.jobs.has_due_gang(cluster.clock.now())
    assert cluster.cycle() == 1


@pytest.fixture
def between(
    monkeypatch: pytest.MonkeyPatch,
) -> Callable[[Callable[[], object]], None]:
    """Lets something happen between the next plan and its commit, once."""

    def arrange(happening: Callable[[], object]) -> None:
        waiting = [happening]
        real = planner.plan

        def plan(snapshot: Snapshot, policy: Policy, now: datetime) -> Plan:
            made = real(snapshot, policy, now)
            while waiting:
                waiting.pop()()
            return made

        monkeypatch.setattr(module, "make_plan", plan)

    return arrange


def _last_cycle(cluster: Cluster) -> Cycle:
    with cluster.deps.store.read() as tx:
        return tx.history.cycles(1, None).rows[0]
