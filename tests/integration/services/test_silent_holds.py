"""A node that is not heard of: what it holds, until when, and what comes then is told."""

from __future__ import annotations

import pytest

from control_plane.domain.lease import over_at
from control_plane.errors import Conflict
from control_plane.services.jobs.explain import explain_job
from control_plane.store.unit_of_work import Transaction
from penstock.api.states import ExitReason, JobState, NodeIntent
from tests.fakes.cluster import ADMIN, BIG, Cluster, a_gang, a_server, a_task


def _fall_silent(cluster: Cluster, name: str, seconds: float = 16.0) -> None:
    cluster.agents[name].online = False
    cluster.clock.advance(seconds)
    cluster.sweep()


def _sentence(cluster: Cluster, name: str) -> str:
    return explain_job(cluster.deps, ADMIN, name).sentence


def _hold(cluster: Cluster, job: str, node: str) -> str:
    """`node a, unheard of since …; its lease ends at …`."""
    lease = cluster.lease(cluster.replicas(job)[0].id)
    since, until = cluster.node_row(node).last_heartbeat_at, over_at(lease.expires_at, lease.ttl_s)
    assert since is not None
    return (
        f"node {node}, unheard of since {since:%Y-%m-%d %H:%M:%S} UTC; "
        f"its lease ends at {until:%Y-%m-%d %H:%M:%S} UTC"
    )


@pytest.mark.parametrize("silent_s", [16.0, 40.0])
def test_a_job_on_a_silent_node_says_until_when_it_is_held(
    cluster: Cluster, silent_s: float
) -> None:
    cluster.node("a")
    cluster.submit(a_task("work", disconnect_grace=300.0))
    cluster.steps(3)
    assert _sentence(cluster, "work") == "work is running: 1 of 1 replicas run"
    _fall_silent(cluster, "a", silent_s)
    assert _sentence(cluster, "work") == (
        f"work is running: 1 of 1 replicas run; rank 0 is on {_hold(cluster, 'work', 'a')}, "
        "then the job starts elsewhere"
    )


def test_it_ends_when_it_was_said_to_end(cluster: Cluster) -> None:
    cluster.node("a")
    cluster.submit(a_task("work", disconnect_grace=300.0))
    cluster.steps(3)
    lease = cluster.lease(cluster.replicas("work")[0].id)
    _fall_silent(cluster, "a")
    left_s = (over_at(lease.expires_at, lease.ttl_s) - cluster.clock.now()).total_seconds()
    cluster.clock.advance(left_s - 0.5)
    cluster.sweep()
    assert cluster.state("work") is JobState.RUNNING
    cluster.clock.advance(0.5)
    cluster.sweep()
    assert cluster.state("work") is JobState.QUEUED


def test_a_cancelled_job_on_a_silent_node_says_when_its_cancellation_is_done(
    cluster: Cluster,
) -> None:
    cluster.node("a")
    cluster.submit(a_task("work"))
    cluster.submit(a_server("chat"))
    cluster.steps(3)
    cluster.cancel("chat")
    _fall_silent(cluster, "a")
    cluster.cancel("work")
    assert cluster.state("work") is JobState.STOPPING
    for name, who in (("work", "rank 0"), ("chat", "replica 0")):
        told = f"{who} is on {_hold(cluster, name, 'a')}, then its cancellation is done"
        assert _sentence(cluster, name).endswith(told)


def test_a_job_whose_faults_are_used_up_says_that_it_is_given_up_then(cluster: Cluster) -> None:
    cluster.node("a")
    cluster.submit(a_task("work"))
    cluster.steps(3)

    def use_up(tx: Transaction) -> None:
        gang = tx.gangs.get(cluster.gangs("work")[0].id)
        assert gang is not None
        gang.infrastructure_failures = 5

    cluster.deps.run(use_up)
    _fall_silent(cluster, "a")
    assert _sentence(cluster, "work").endswith("then the job is given up")


def test_ranks_of_one_silent_node_are_told_together_and_others_are_not(cluster: Cluster) -> None:
    cluster.node("a", {BIG: 2})
    cluster.node("b", {BIG: 1})
    cluster.submit(a_gang("work", 3))
    cluster.steps(4)
    on_a = [it.rank for it in cluster.replicas("work") if cluster.agent_of(it).name == "a"]
    _fall_silent(cluster, "a")
    cluster.agents["b"].beat()
    cluster.sweep()
    told = _sentence(cluster, "work")
    assert f"ranks {on_a[0]}, {on_a[1]} are on node a, unheard" in told
    assert "the last of its leases ends at" in told
    assert "node b" not in told


def test_a_silent_node_that_is_to_be_retired_says_when_it_can_be(cluster: Cluster) -> None:
    cluster.node("a")
    cluster.submit(a_task("work"))
    cluster.steps(3)
    _fall_silent(cluster, "a")
    for intent in (NodeIntent.DRAINING, NodeIntent.CORDONED):
        cluster.intend("a", intent)
        with pytest.raises(Conflict) as caught:
            cluster.intend("a", NodeIntent.RETIRED)
        assert caught.value.hint == f"{_hold(cluster, 'work', 'a')}: retire it then"


def test_a_node_that_drains_is_not_told_to_be_drained(cluster: Cluster) -> None:
    cluster.node("a")
    cluster.submit(a_task("work"))
    cluster.steps(3)
    cluster.intend("a", NodeIntent.DRAINING)
    with pytest.raises(Conflict) as caught:
        cluster.intend("a", NodeIntent.RETIRED)
    assert caught.value.hint == "it is being drained: retire it once it is cordoned"
    cluster.finish("work", ExitReason.STOPPED)
    cluster.steps(2)
    cluster.intend("a", NodeIntent.RETIRED)
