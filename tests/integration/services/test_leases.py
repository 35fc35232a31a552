"""Leases: renewed by heartbeats, over only after expiry and margin, fenced by their epoch."""

from __future__ import annotations

from datetime import timedelta

import pytest

from control_plane.errors import Conflict
from control_plane.services.agents.heartbeat import record_heartbeat
from control_plane.services.checkpoints.commit import commit_checkpoint
from control_plane.services.leases.expire import expire_leases
from control_plane.store.models import Replica
from penstock.api.assignments import CheckpointCommit, HeartbeatRequest, HeldReplica
from penstock.api.ids import NodeId, ReplicaId
from penstock.api.states import ExitReason, JobState, ReplicaState
from tests.fakes.cluster import Cluster, a_server, a_task

MARGIN_S = 5.6
"""5 s and 2 % of the shortest grace of 30 s."""


def test_each_heartbeat_renews_the_leases_of_what_the_node_holds(cluster: Cluster) -> None:
    agent = cluster.node("a")
    cluster.submit(a_task("one"))
    cluster.steps(3)
    (lease,) = cluster.leases()
    cluster.clock.advance(7)
    agent.beat()
    (renewed,) = cluster.leases()
    assert renewed.expires_at - lease.expires_at == timedelta(seconds=7)
    assert agent.deadlines_ns[lease.replica_id] == agent.now_ns() + round((30 - MARGIN_S) * 1e9)


def test_a_lease_is_over_only_after_expiry_and_margin(cluster: Cluster) -> None:
    agent = cluster.node("a")
    cluster.submit(a_task("one"))
    cluster.steps(3)
    agent.online = False
    cluster.clock.advance(30 + MARGIN_S - 0.1)
    assert expire_leases(cluster.deps) == 0
    assert len(cluster.leases()) == 1
    cluster.clock.advance(0.2)
    assert list(agent.live()) == [], "by its own clock it stopped long before"
    assert expire_leases(cluster.deps) == 1
    assert cluster.leases() == []
    assert cluster.state("one") is JobState.QUEUED
    assert cluster.gangs("one")[0].infrastructure_failures == 1


def test_the_late_report_of_an_old_epoch_is_refused(cluster: Cluster) -> None:
    agent = cluster.node("a")
    cluster.submit(a_task("one"))
    cluster.steps(2)
    (first,) = cluster.replicas("one")
    agent.online = False
    cluster.steps(2, 36)
    cluster.node("b")
    cluster.steps(3)
    (second,) = cluster.replicas("one")
    assert (second.attempt, second.state) == (2, ReplicaState.RUNNING)
    agent.online = True
    agent.report()
    refused = agent.send_again(agent.sent[-1]).refused
    assert [(it.replica_id, it.code) for it in refused] == [(first.id, "stale_epoch")]
    assert cluster.state("one") is JobState.RUNNING
    assert cluster.lease(first.id).state == "expired"


def test_a_heartbeat_names_what_has_no_lease_so_that_it_stops(cluster: Cluster) -> None:
    agent = cluster.node("a")
    held = HeldReplica(replica_id=ReplicaId("replica_0"), epoch=1, state=ReplicaState.RUNNING)
    beat = HeartbeatRequest(instance="1", generation=0, replicas=(held,))
    reply = record_heartbeat(cluster.deps, NodeId(agent.node_id), beat)
    assert (reply.stop, reply.leases) == (("replica_0",), ())


def test_a_heartbeat_renews_nothing_for_another_epoch_or_another_node(cluster: Cluster) -> None:
    agent, other = cluster.node("a"), cluster.node("b")
    cluster.submit(a_task("one"))
    cluster.steps(2)
    (replica,) = cluster.replicas("one")
    owner = cluster.agent_of(replica)
    thief = other if owner is agent else agent
    for node_id, epoch in ((owner.node_id, 2), (owner.node_id, 0), (thief.node_id, 1)):
        held = HeldReplica(replica_id=replica.id, epoch=epoch, state=ReplicaState.RUNNING)
        beat = HeartbeatRequest(instance="1", generation=0, replicas=(held,))
        reply = record_heartbeat(cluster.deps, NodeId(node_id), beat)
        assert (reply.stop, reply.leases) == ((replica.id,), ())


def test_a_checkpoint_is_committed_once_however_often_it_is_told(cluster: Cluster) -> None:
    agent = cluster.node("a")
    job_id = cluster.submit(a_task("one"))
    cluster.steps(2)
    (replica,) = cluster.replicas("one")
    commit = _commit(cluster, replica, 1, 100)
    first = commit_checkpoint(cluster.deps, NodeId(agent.node_id), commit)
    assert commit_checkpoint(cluster.deps, NodeId(agent.node_id), commit) == first
    assert cluster.events(job_id).count("checkpoint.committed") == 1


def test_a_checkpoint_under_an_old_epoch_is_refused(cluster: Cluster) -> None:
    agent = cluster.node("a")
    cluster.submit(a_task("one"))
    cluster.steps(2)
    (first,) = cluster.replicas("one")
    cluster.finish("one", ExitReason.KILLED)
    cluster.steps(3)
    (second,) = cluster.replicas("one")
    for replica, epoch in ((first, 1), (first, 2), (second, 1), (second, 3)):
        with pytest.raises(Conflict) as caught:
            commit_checkpoint(
                cluster.deps, NodeId(agent.node_id), _commit(cluster, replica, epoch, 7)
            )
        assert caught.value.code == "stale_epoch"
    commit_checkpoint(cluster.deps, NodeId(agent.node_id), _commit(cluster, second, 2, 7))


def test_an_abandoned_replica_commits_nothing_although_its_lease_still_runs(
    cluster: Cluster,
) -> None:
    agent = cluster.node("a", {"emulated-a100": 1})
    cluster.submit(a_server("chat"))
    cluster.steps(3)
    (first,) = cluster.replicas("chat")
    cluster.node("b", {"emulated-a100": 1})
    agent.online = False
    cluster.steps(2, 16)
    assert cluster.lease(first.id).state == "held"
    with pytest.raises(Conflict, match="dead epoch"):
        commit_checkpoint(cluster.deps, NodeId(agent.node_id), _commit(cluster, first, 1, 7))


def test_another_nodes_replica_is_nobody_elses_to_speak_for(cluster: Cluster) -> None:
    cluster.node("a", {"emulated-a100": 1})
    cluster.submit(a_task("one"))
    cluster.steps(2)
    (replica,) = cluster.replicas("one")
    thief = cluster.node("b", {})
    with pytest.raises(Conflict) as caught:
        commit_checkpoint(cluster.deps, NodeId(thief.node_id), _commit(cluster, replica, 1, 7))
    assert caught.value.code == "not_yours"
    (agent,) = [it for it in cluster.agents.values() if it.sent]
    refused = thief.send_again(agent.sent[-1]).refused
    assert {it.code for it in refused} == {"not_yours"}


def test_a_heartbeat_that_comes_after_the_end_renews_nothing(cluster: Cluster) -> None:
    agent = cluster.node("a")
    cluster.submit(a_task("one"))
    cluster.steps(3)
    (replica,) = cluster.replicas("one")
    cluster.clock.advance(36)
    expire_leases(cluster.deps)
    reply = record_heartbeat(cluster.deps, NodeId(agent.node_id), agent.beats[-1])
    assert (reply.stop, reply.leases) == ((replica.id,), ())
    assert cluster.leases() == []


@pytest.mark.parametrize("drift", [0.985, 1.0, 1.015])
def test_no_process_lives_when_its_chips_are_leased_again(cluster: Cluster, drift: float) -> None:
    """With a node's clock off by 1.5 %, cut off at any moment, nothing lives without a lease."""
    agent = cluster.node("a", {"emulated-a100": 1})
    agent.clock_rate = drift
    cluster.submit(a_task("one"))
    cluster.steps(2)
    agent.online = False
    for _ in range(80):
        cluster.clock.advance(0.5)
        cluster.sweep()
        held = {lease.replica_id for lease in cluster.leases()}
        assert {process.id for process in agent.live()} <= held
    assert cluster.state("one") is JobState.QUEUED


def _commit(cluster: Cluster, replica: Replica, epoch: int, step: int) -> CheckpointCommit:
    uri = f"{cluster.deps.storage}/jobs/{replica.job_id}/checkpoints/step-{step:08d}-e{epoch}"
    return CheckpointCommit(
        replica_id=replica.id, epoch=epoch, step=step, uri=uri, manifest_sha256="0" * 64
    )
