"""A job's way from submission to its end, and what it pays for failing."""

from __future__ import annotations

import pytest

from control_plane.hints.topics import SUBMITTED, node_topic
from control_plane.services.checkpoints.commit import commit_checkpoint
from control_plane.services.jobs.read import get_job
from penstock.api.assignments import CheckpointCommit, Failure
from penstock.api.ids import NodeId
from penstock.api.states import ExitReason, JobState, ReplicaState
from tests.fakes.cluster import ADMIN, Cluster, a_gang, a_server, a_task


def test_a_job_is_placed_runs_and_succeeds(cluster: Cluster) -> None:
    agent = cluster.node("a")
    job_id = cluster.submit(a_task("one"))
    assert cluster.state("one") is JobState.QUEUED
    assert cluster.cycle() == 1
    assert cluster.state("one") is JobState.STARTING
    agent.tick()
    cluster.start_all()
    assert cluster.state("one") is JobState.RUNNING
    cluster.finish("one")
    job = cluster.job("one")
    assert (job.state, job.exit_code, job.exit_reason) == ("succeeded", 0, "completed")
    assert cluster.leases() == []
    assert cluster.events(job_id) == [
        "job.queued",
        "job.starting",
        "replica.starting",
        "replica.running",
        "job.running",
        "replica.exited",
        "lease.released",
        "job.stopping",
        "job.succeeded",
    ]


def test_each_step_tells_whoever_waits_for_it(cluster: Cluster) -> None:
    agent = cluster.node("a")
    cluster.hub.published.clear()
    cluster.submit(a_task("one"))
    assert SUBMITTED in cluster.hub.published
    cluster.cycle()
    assert node_topic(NodeId(agent.node_id)) in cluster.hub.published


def test_a_gang_is_placed_whole_or_not_at_all(cluster: Cluster) -> None:
    cluster.node("a")
    cluster.submit(a_gang("three", 3))
    cluster.cycle()
    assert cluster.state("three") is JobState.QUEUED
    assert cluster.replicas("three") == []
    assert cluster.job("three").reason == "gang_partly_fits"
    cluster.node("b")
    cluster.steps(3)
    assert cluster.state("three") is JobState.RUNNING
    assert {replica.state for replica in cluster.replicas("three")} == {ReplicaState.RUNNING}


def test_ranks_above_0_start_once_rank_0_has_told_its_address(cluster: Cluster) -> None:
    cluster.node("a", {"emulated-a100": 1})
    cluster.node("b", {"emulated-a100": 1})
    cluster.submit(a_gang("pair", 2))
    cluster.cycle()
    cluster.tick(start=False)
    cluster.tick(start=False)
    first, second = sorted(cluster.replicas("pair"), key=lambda it: it.rank)
    assert cluster.gangs("pair")[0].master == first.address
    assert second.state == ReplicaState.STARTING
    other = cluster.agent_of(second).processes[second.id]
    assert other.assignment.master == first.address


def test_a_failed_job_is_tried_again_as_often_as_its_user_said(cluster: Cluster) -> None:
    cluster.node("a")
    cluster.submit(a_task("weak", retry={"limit": 1}))
    cluster.steps(2)
    cluster.finish("weak", ExitReason.ERROR)
    assert cluster.state("weak") is JobState.QUEUED
    cluster.steps(3)
    assert cluster.state("weak") is JobState.RUNNING
    assert [replica.attempt for replica in cluster.replicas("weak")] == [2]
    cluster.finish("weak", ExitReason.OUT_OF_MEMORY)
    job = cluster.job("weak")
    assert (job.state, job.exit_reason, job.exit_code) == ("failed", "out_of_memory", 1)


def test_the_next_attempt_waits_for_its_back_off(cluster: Cluster) -> None:
    cluster.node("a")
    cluster.submit(a_task("weak", retry={"limit": 5}))
    cluster.steps(2)
    for wait_s in (1, 2, 4):
        cluster.finish("weak", ExitReason.ERROR)
        cluster.clock.advance(wait_s - 0.01)
        assert cluster.cycle() == 0
        cluster.clock.advance(0.02)
        assert cluster.cycle() == 1
        cluster.steps(2)


def test_a_fault_of_the_infrastructure_costs_the_user_nothing(cluster: Cluster) -> None:
    cluster.node("a")
    cluster.submit(a_task("lucky"))
    for attempt in (1, 2, 3):
        cluster.steps(10)
        assert cluster.gangs("lucky")[0].attempt == attempt
        cluster.finish("lucky", ExitReason.KILLED)
    gang = cluster.gangs("lucky")[0]
    assert (gang.own_failures, gang.infrastructure_failures) == (0, 3)
    assert cluster.state("lucky") is JobState.QUEUED


def test_faults_before_an_attempt_that_lasted_are_forgotten(cluster: Cluster) -> None:
    cluster.node("a")
    cluster.submit(a_task("lasting"))
    for _ in range(2):
        cluster.steps(10)
        cluster.finish("lasting", ExitReason.KILLED)
    cluster.steps(10)
    cluster.steps(70, seconds=9.0)
    cluster.finish("lasting", ExitReason.KILLED)
    assert cluster.gangs("lasting")[0].infrastructure_failures == 1


def test_time_that_a_job_ran_leaves_out_the_waiting_between_attempts(cluster: Cluster) -> None:
    """An end that is told late counts from when it was; the lease lasts until it is told."""
    agent = cluster.node("a")
    job_id = cluster.submit(a_task("timed"))
    cluster.steps(3)
    began = cluster.replicas("timed")[0].started_at
    assert began is not None
    cluster.clock.advance(4)
    first = cluster.replicas("timed")[0]
    agent.exit(first.id, ExitReason.KILLED)
    ended = cluster.clock.now()
    cluster.clock.advance(10)
    agent.report()
    assert cluster.replicas("timed")[0].ended_at == ended
    assert cluster.lease(first.id).ended_at == cluster.clock.now()
    ran_s = (ended - began).total_seconds()
    cluster.clock.advance(60)
    assert get_job(cluster.deps, ADMIN, job_id).ran_s == ran_s
    cluster.steps(3)
    again = cluster.replicas("timed")[0].started_at
    assert again is not None
    ran_s += (cluster.clock.now() - again).total_seconds()
    assert get_job(cluster.deps, ADMIN, job_id).ran_s == ran_s


def test_a_rank_that_lost_its_peer_blames_the_infrastructure(cluster: Cluster) -> None:
    cluster.node("a")
    cluster.submit(a_task("bereft"))
    cluster.steps(3)
    cluster.finish("bereft", ExitReason.ERROR, code=75)
    gang = cluster.gangs("bereft")[0]
    assert (gang.own_failures, gang.infrastructure_failures) == (0, 1)
    assert (gang.exit_reason, gang.state) == ("peer_lost", JobState.QUEUED)


def test_a_fault_of_the_storage_is_told_at_once_and_costs_no_retry(cluster: Cluster) -> None:
    cluster.node("a")
    cluster.submit(a_gang("dry", 2))
    cluster.steps(3)
    said = {"code": "storage_error", "message": "the job's storage failed: read-only"}
    cluster.finish("dry", ExitReason.ERROR, rank=1, code=75, failure=said)
    gang = cluster.gangs("dry")[0]
    assert (gang.own_failures, gang.infrastructure_failures) == (0, 1)
    assert (gang.outcome, gang.reason) == ("retry", "storage_error")
    assert "read-only" in gang.message


def test_a_timeout_is_final(cluster: Cluster) -> None:
    cluster.node("a")
    cluster.submit(a_task("long", retry={"limit": 9}))
    cluster.steps(2)
    cluster.finish("long", ExitReason.TIMEOUT)
    assert (cluster.job("long").state, cluster.job("long").exit_reason) == ("failed", "timeout")


def test_one_failed_rank_stops_its_gang_and_all_are_placed_anew(cluster: Cluster) -> None:
    cluster.node("a")
    cluster.submit(a_gang("pair", 2, retry={"limit": 1}))
    cluster.steps(3)
    cluster.finish("pair", ExitReason.ERROR, rank=1)
    assert cluster.state("pair") is JobState.STOPPING
    cluster.steps(4)
    assert cluster.state("pair") is JobState.RUNNING
    assert [(it.attempt, it.state) for it in cluster.replicas("pair")] == [(2, "running")] * 2


def test_a_gang_succeeds_when_its_last_rank_has(cluster: Cluster) -> None:
    cluster.node("a")
    cluster.submit(a_gang("pair", 2))
    cluster.steps(3)
    cluster.finish("pair", rank=1)
    assert cluster.state("pair") is JobState.RUNNING
    cluster.finish("pair", rank=0)
    assert cluster.state("pair") is JobState.SUCCEEDED


def test_the_rank_that_failed_is_to_blame_not_the_one_that_noticed_first(cluster: Cluster) -> None:
    cluster.node("a")
    cluster.submit(a_gang("pair", 2))
    cluster.steps(4)
    cluster.finish("pair", ExitReason.ERROR, rank=0, code=75)
    assert cluster.state("pair") is JobState.STOPPING
    assert cluster.gangs("pair")[0].message == "rank 0 lost contact with its peers"
    cluster.finish("pair", ExitReason.OUT_OF_MEMORY, rank=1)
    job, gang = cluster.job("pair"), cluster.gangs("pair")[0]
    assert (job.state, job.exit_reason) == ("failed", "out_of_memory")
    assert job.message == "rank 1 on node a: ended: out_of_memory"
    assert (gang.own_failures, gang.infrastructure_failures) == (1, 0)


def test_a_lost_peer_that_nobody_explains_costs_the_infrastructure_once(cluster: Cluster) -> None:
    cluster.node("a")
    cluster.submit(a_gang("pair", 2))
    cluster.steps(4)
    cluster.finish("pair", ExitReason.ERROR, rank=0, code=75)
    cluster.tick()
    gang = cluster.gangs("pair")[0]
    assert (gang.state, gang.attempt) == ("queued", 1)
    assert (gang.own_failures, gang.infrastructure_failures, gang.failures_in_a_row) == (0, 1, 1)


def test_committing_the_same_step_again_and_again_is_no_progress(cluster: Cluster) -> None:
    cluster.node("a")
    cluster.submit(a_task("loop"))
    for attempt in range(1, 7):
        while cluster.state("loop") is not JobState.RUNNING:
            cluster.step()
        assert cluster.gangs("loop")[0].attempt == attempt
        _commit(cluster, "loop", step=1)
        cluster.finish("loop", ExitReason.KILLED)
    job = cluster.job("loop")
    assert job.state == "failed"
    assert job.message.endswith("given up after 6 such faults in a row without getting further")


def test_a_job_that_gets_further_each_time_goes_on_ever_more_slowly(cluster: Cluster) -> None:
    cluster.node("a")
    cluster.submit(a_task("slow", disconnect_grace=3600.0))
    for attempt in range(1, 10):
        cluster.steps(3)
        assert cluster.gangs("slow")[0].attempt == attempt
        _commit(cluster, "slow", step=attempt)
        cluster.finish("slow", ExitReason.KILLED)
        gang = cluster.gangs("slow")[0]
        assert (gang.state, gang.infrastructure_failures) == (JobState.QUEUED, 1)
        assert gang.not_before is not None
        wait = gang.not_before - cluster.clock.now()
        assert wait.total_seconds() == 2 ** (attempt - 1)
        cluster.clock.advance(wait.total_seconds())


def test_a_failed_jobs_message_holds_the_last_line_of_its_log(cluster: Cluster) -> None:
    cluster.node("a")
    cluster.submit(a_task("broken"))
    cluster.steps(3)
    cluster.finish("broken", ExitReason.ERROR, message="exit code 1", last_line="KeyError: 'x'")
    job = cluster.job("broken")
    assert (job.state, job.reason) == ("failed", "error")
    assert job.message == ("rank 0 on node a: exit code 1; last line of its log: \"KeyError: 'x'\"")


def test_what_a_workload_says_of_its_failure_is_the_reason(cluster: Cluster) -> None:
    cluster.node("a")
    cluster.submit(a_task("broken"))
    cluster.steps(3)
    said = Failure(code="bad_input", message="the data folder /x does not exist")
    cluster.finish("broken", ExitReason.ERROR, failure=said)
    job = cluster.job("broken")
    assert (job.reason, job.exit_reason) == ("bad_input", "error")
    assert job.message == "rank 0 on node a: the data folder /x does not exist"


@pytest.mark.parametrize("kind", ["task", "serve", "train"])
def test_a_failure_that_the_workload_calls_final_is_not_tried_again(
    cluster: Cluster, kind: str
) -> None:
    cluster.node("a")
    document = a_server("it") if kind == "serve" else a_task("it")
    if kind == "train":
        document = {"type": "train", "name": "it", "resources": {"chips": 1}}
    cluster.submit({**document, "retry": {"limit": 9}})
    cluster.steps(3)
    said = Failure(code="model_refused", message="hidden_act gelu is not supported", final=True)
    cluster.finish("it", ExitReason.ERROR, failure=said)
    cluster.steps(3)
    job = cluster.job("it")
    assert (job.state, job.reason, cluster.gangs("it")[0].attempt) == ("failed", "model_refused", 1)
    assert job.message.endswith("is not supported; another try would end the same")


@pytest.mark.parametrize("code", [1, 75])
def test_what_is_not_called_final_is_tried_again_as_before(cluster: Cluster, code: int) -> None:
    cluster.node("a")
    cluster.submit(a_server("chat"))
    cluster.steps(3)
    said = Failure(code="model_refused", message="the model folder /x does not exist")
    cluster.finish("chat", ExitReason.ERROR, code=code, failure=said)
    cluster.steps(4)
    assert cluster.gangs("chat")[0].attempt == 2


def test_memory_that_a_workload_says_it_lacks_is_told_as_such(cluster: Cluster) -> None:
    cluster.node("a")
    cluster.submit(a_task("big"))
    cluster.steps(3)
    said = Failure(code="out_of_memory", message="out of memory: tried to allocate 2 GiB")
    cluster.finish("big", ExitReason.ERROR, failure=said)
    assert cluster.job("big").exit_reason == "out_of_memory"


def test_a_replica_that_was_stopped_says_why(cluster: Cluster) -> None:
    cluster.node("a")
    cluster.submit(a_gang("pair", 2))
    cluster.steps(4)
    stopped = max(cluster.replicas("pair"), key=lambda it: it.rank)
    cluster.finish("pair", ExitReason.ERROR, rank=0)
    cluster.tick()
    with cluster.deps.store.read() as tx:
        row = tx.replicas.get(stopped.id)
    assert row is not None
    assert (row.reason, row.message) == ("stopped", "stopped: rank 0 on node a: ended: error")


def _commit(cluster: Cluster, name: str, step: int) -> None:
    (replica,) = cluster.replicas(name)
    commit = CheckpointCommit(
        replica_id=replica.id,
        epoch=replica.attempt,
        step=step,
        uri=f"{cluster.deps.storage}/jobs/{replica.job_id}/step-{step}",
        manifest_sha256="a" * 64,
    )
    commit_checkpoint(cluster.deps, replica.node_id, commit)
