"""Leadership and guards: what was decided on an older view of the cloud commits nothing."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from control_plane.errors import Conflict
from control_plane.services.lead import resign, try_to_lead
from control_plane.services.record_heartbeat import record_heartbeat
from control_plane.services.run_cycle import run_cycle
from control_plane.store.models import Cycle
from penstock.api.assignments import HeartbeatRequest
from penstock.api.states import ExitReason, JobState, NodeIntent
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
    cluster: Cluster,
) -> None:
    cluster.node("a")
    cluster.submit(a_task("one"))
    epoch = try_to_lead(cluster.deps, cluster.holder, 10)
    assert epoch is not None

    def depose() -> None:
        cluster.clock.advance(10)
        assert try_to_lead(cluster.deps, "new", 10) == epoch + 1

    with pytest.raises(Conflict, match="is over"):
        cluster.cycle(between=depose)
    assert (cluster.state("one"), cluster.leases()) == (JobState.QUEUED, [])
    assert run_cycle(cluster.deps, epoch + 1, "test") == 1


def test_a_leader_whose_term_ran_out_commits_nothing_although_nobody_followed(
    cluster: Cluster,
) -> None:
    cluster.node("a")
    cluster.submit(a_task("one"))
    with pytest.raises(Conflict, match="is over"):
        cluster.cycle(between=lambda: cluster.clock.advance(10))
    assert cluster.leases() == []


@pytest.mark.parametrize("change", ["cordon", "silence", "chip gone", "fewer cores"])
def test_a_node_that_changed_since_the_snapshot_gets_nothing(cluster: Cluster, change: str) -> None:
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
    assert cluster.cycle(between=changes[change]) == 0
    assert (cluster.state("one"), cluster.leases()) == (JobState.QUEUED, [])
    assert "overtaken" in _last_cycle(cluster).message
    assert cluster.cycle() == 0, "and the next cycle knows better"


def test_a_job_cancelled_since_the_snapshot_is_not_placed(
    cluster: Cluster,
) -> None:
    cluster.node("a")
    cluster.submit(a_task("one"))
    cluster.submit(a_task("two"))
    assert cluster.cycle(between=lambda: cluster.cancel("one")) == 1
    assert (cluster.state("one"), cluster.state("two")) == (JobState.CANCELLED, JobState.STARTING)


def test_a_gang_is_left_whole_when_one_of_its_nodes_changed(
    cluster: Cluster,
) -> None:
    cluster.node("a", {BIG: 1})
    cluster.node("b", {BIG: 1})
    cluster.submit(a_gang("pair", 2))
    assert cluster.cycle(between=lambda: cluster.intend("b", NodeIntent.CORDONED)) == 0
    assert (cluster.replicas("pair"), cluster.leases()) == ([], [])


def test_a_gang_that_could_go_on_while_the_plan_was_made_is_looked_at_again(
    cluster: Cluster,
) -> None:
    """Its back-off ended between snapshot and commit: the sweep must still see it as due."""
    cluster.node("a", {BIG: 1})
    cluster.submit(a_task("weak", retry={"limit": 5}))
    cluster.steps(2)
    cluster.finish("weak", ExitReason.ERROR)
    assert cluster.cycle(between=lambda: cluster.clock.advance(1.5)) == 0
    with cluster.deps.store.read() as tx:
        assert tx.jobs.has_due_gang(cluster.clock.now())
    assert cluster.cycle() == 1


def _last_cycle(cluster: Cluster) -> Cycle:
    with cluster.deps.store.read() as tx:
        return tx.history.cycles(1, None).rows[0]
