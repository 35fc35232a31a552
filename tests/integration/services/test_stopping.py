"""Ending what runs before its time: cancelling in every state, preemption, draining."""

from __future__ import annotations

import pytest

from control_plane.errors import Conflict
from control_plane.services.jobs.cancel import cancel_job
from penstock.api.states import ExitReason, JobState, NodeIntent, ReplicaState
from tests.fakes.cluster import ADMIN, Cluster, a_gang, a_task


def test_a_waiting_job_is_cancelled_at_once(cluster: Cluster) -> None:
    cluster.submit(a_task("one"))
    cluster.cancel("one")
    assert cluster.state("one") is JobState.CANCELLED
    cluster.node("a")
    cluster.steps(2)
    assert cluster.state("one") is JobState.CANCELLED


def test_why_a_job_was_cancelled_is_in_its_message_and_its_events(cluster: Cluster) -> None:
    cluster.node("a")
    for name in ("one", "two"):
        cluster.submit(a_task(name))
        cancel_job(cluster.deps, ADMIN, name, "the machine is needed")
        assert cluster.job(name).message == "cancelled by root: the machine is needed"
    cluster.submit(a_task("running"))
    cluster.steps(2)
    cancel_job(cluster.deps, ADMIN, "running", "the machine is needed")
    cluster.steps(3)
    job = cluster.job("running")
    assert (job.state, job.message) == ("cancelled", "cancelled by root: the machine is needed")


def test_a_job_that_was_placed_but_never_started_is_declined(cluster: Cluster) -> None:
    cluster.node("a")
    cluster.submit(a_task("one"))
    cluster.cycle()
    cluster.cancel("one")
    assert cluster.state("one") is JobState.STOPPING
    cluster.tick()
    assert cluster.state("one") is JobState.CANCELLED
    assert cluster.leases() == []


@pytest.mark.parametrize("running", [False, True])
def test_a_live_job_keeps_its_chips_until_its_process_has_ended(
    cluster: Cluster, running: bool
) -> None:
    agent = cluster.node("a")
    agent.stubborn = True
    cluster.submit(a_task("one"))
    cluster.cycle()
    cluster.tick(start=running)
    cluster.cancel("one")
    cluster.tick(start=False)
    assert cluster.state("one") is JobState.STOPPING
    assert len(cluster.leases()) == 1
    cluster.finish("one", ExitReason.STOPPED)
    job = cluster.job("one")
    assert (job.state, job.exit_reason) == ("cancelled", "stopped")
    assert cluster.leases() == []


def test_cancelling_again_changes_nothing_and_an_ended_job_stays_as_it_ended(
    cluster: Cluster,
) -> None:
    cluster.node("a")
    job_id = cluster.submit(a_task("one"))
    cluster.cancel("one")
    events = cluster.events(job_id)
    cluster.cancel("one")
    assert cluster.events(job_id) == events
    cluster.submit(a_task("two"))
    cluster.steps(2)
    cluster.finish("two")
    with pytest.raises(Conflict, match="has ended"):
        cluster.cancel("two")


def test_a_job_that_waits_for_its_next_attempt_is_cancelled_at_once(cluster: Cluster) -> None:
    cluster.node("a")
    cluster.submit(a_task("one", retry={"limit": 5}))
    cluster.steps(2)
    cluster.finish("one", ExitReason.ERROR)
    cluster.cancel("one")
    assert cluster.state("one") is JobState.CANCELLED


def test_a_cancelled_job_is_not_tried_again_when_its_rank_fails_meanwhile(cluster: Cluster) -> None:
    agent = cluster.node("a")
    agent.stubborn = True
    cluster.submit(a_gang("pair", 2, retry={"limit": 5}))
    cluster.steps(3)
    cluster.cancel("pair")
    cluster.tick(start=False)
    cluster.finish("pair", ExitReason.ERROR, rank=0)
    cluster.finish("pair", ExitReason.KILLED, rank=1)
    assert cluster.state("pair") is JobState.CANCELLED


def test_a_job_of_higher_priority_takes_the_chips_of_a_lower_one(cluster: Cluster) -> None:
    cluster.node("a", {"emulated-a100": 1})
    cluster.submit(a_task("low", priority=10))
    cluster.steps(2)
    cluster.submit(a_task("high", priority=90))
    cluster.cycle()
    assert (cluster.state("low"), cluster.state("high")) == (JobState.STOPPING, JobState.QUEUED)
    cluster.steps(3)
    assert (cluster.state("low"), cluster.state("high")) == (JobState.QUEUED, JobState.RUNNING)
    assert "high" in " ".join(event for event in [cluster.gangs("low")[0].message])
    gang = cluster.gangs("low")[0]
    assert (gang.own_failures, gang.infrastructure_failures) == (0, 0)
    cluster.finish("high")
    cluster.steps(3)
    assert (cluster.state("low"), cluster.gangs("low")[0].attempt) == (JobState.RUNNING, 2)


def test_a_drained_node_gives_up_what_it_runs_and_gets_nothing_new(cluster: Cluster) -> None:
    cluster.node("a")
    cluster.submit(a_task("one"))
    cluster.steps(2)
    cluster.intend("a", NodeIntent.DRAINING)
    assert cluster.state("one") is JobState.STOPPING
    cluster.steps(3)
    assert cluster.state("one") is JobState.QUEUED
    assert cluster.node_row("a").intent == NodeIntent.CORDONED
    cluster.node("b")
    cluster.steps(3)
    (replica,) = cluster.replicas("one")
    assert cluster.agent_of(replica).name == "b"
    assert (replica.state, replica.attempt) == (ReplicaState.RUNNING, 2)


def test_a_node_with_nothing_on_it_is_drained_at_once(cluster: Cluster) -> None:
    cluster.node("a")
    cluster.intend("a", NodeIntent.DRAINING)
    assert cluster.node_row("a").intent == NodeIntent.CORDONED


def test_what_was_placed_while_the_drain_began_is_drained_by_the_sweep(cluster: Cluster) -> None:
    """A gang whose other rank sits on another node stops there too."""
    cluster.node("a", {"emulated-a100": 1})
    cluster.node("b", {"emulated-a100": 1})
    cluster.submit(a_gang("pair", 2))
    cluster.steps(3)
    cluster.intend("a", NodeIntent.DRAINING)
    cluster.steps(3)
    assert cluster.state("pair") is JobState.QUEUED
    assert cluster.leases() == []
    assert cluster.node_row("a").intent == NodeIntent.CORDONED


def test_a_node_that_runs_replicas_cannot_be_retired(cluster: Cluster) -> None:
    cluster.node("a")
    cluster.submit(a_task("one"))
    cluster.steps(2)
    cluster.intend("a", NodeIntent.CORDONED)
    with pytest.raises(Conflict, match="still runs"):
        cluster.intend("a", NodeIntent.RETIRED)
    assert cluster.node_row("a").intent == NodeIntent.CORDONED
