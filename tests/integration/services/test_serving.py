"""Serving jobs: each replica lives, fails and is placed alone; endpoints follow."""

from __future__ import annotations

import pytest

from control_plane.errors import Conflict
from control_plane.services.endpoints.read import get_endpoint
from control_plane.services.endpoints.routes import read_routes
from control_plane.services.jobs.explain import explain_job
from control_plane.store.unit_of_work import Transaction
from penstock.api.ids import GangId
from penstock.api.states import ExitReason, JobState, ReplicaState
from tests.fakes.cluster import ADMIN, BIG, Cluster, a_server


def test_an_endpoint_is_ready_once_all_its_replicas_answer(cluster: Cluster) -> None:
    cluster.node("a")
    cluster.submit(a_server("chat", 2))
    cluster.cycle()
    assert cluster.endpoint("chat").state == "pending"
    cluster.steps(2)
    assert cluster.state("chat") is JobState.RUNNING
    assert cluster.endpoint("chat").state == "ready"
    (model,) = read_routes(cluster.deps)
    assert len(model.routes) == 2


def test_a_serving_replica_that_fails_is_placed_anew_while_its_sibling_answers(
    cluster: Cluster,
) -> None:
    cluster.node("a")
    cluster.submit(a_server("chat", 2))
    cluster.steps(3)
    kept, lost = cluster.replicas("chat")
    cluster.agent_of(lost).exit(lost.id, ExitReason.ERROR)
    cluster.tick()
    cluster.sweep()
    assert cluster.state("chat") is JobState.RUNNING
    assert cluster.endpoint("chat").state == "degraded"
    shown = get_endpoint(cluster.deps, ADMIN, "chat")
    assert (len(shown.replicas), shown.num_replicas) == (1, 2)
    cluster.steps(4)
    assert cluster.endpoint("chat").state == "ready"
    attempts = {it.gang_index: (it.id, it.attempt) for it in cluster.replicas("chat")}
    assert attempts[kept.gang_index] == (kept.id, 1)
    assert attempts[lost.gang_index][1] == 2


def test_an_endpoint_never_counts_otherwise_than_its_replicas(cluster: Cluster) -> None:
    cluster.node("a")
    cluster.submit(a_server("chat", 2))
    cluster.steps(3)
    assert get_endpoint(cluster.deps, ADMIN, "chat").message == "2 of 2 replicas are ready"
    cluster.finish("chat", ExitReason.KILLED)
    assert cluster.endpoint("chat").message == "2 of 2 replicas are ready", "no sweep yet"
    assert get_endpoint(cluster.deps, ADMIN, "chat").message == "1 of 2 replicas are ready"
    cluster.sweep()
    assert get_endpoint(cluster.deps, ADMIN, "chat").message == (
        "1 of 2 replicas are ready; attempt 1 ended: replica 0 on node a: ended: killed"
    )


def test_a_silent_nodes_servers_leave_at_once_and_substitutes_start_elsewhere(
    cluster: Cluster,
) -> None:
    silent = cluster.node("a", {"emulated-a100": 1})
    cluster.submit(a_server("chat"))
    cluster.steps(3)
    (first,) = cluster.replicas("chat")
    cluster.node("b", {"emulated-a100": 1})
    silent.online = False
    cluster.clock.advance(16)
    cluster.tick()
    cluster.sweep()
    assert read_routes(cluster.deps)[0].routes == ()
    cluster.steps(2)
    (second,) = cluster.replicas("chat")
    assert cluster.agent_of(second).name == "b"
    assert cluster.lease(first.id).state == "held", "its own chips wait for the lease"
    assert cluster.endpoint("chat").state == "ready"


def test_an_abandoned_server_stops_when_its_node_is_heard_again(cluster: Cluster) -> None:
    silent = cluster.node("a", {"emulated-a100": 1})
    cluster.submit(a_server("chat"))
    cluster.steps(3)
    (first,) = cluster.replicas("chat")
    cluster.node("b", {"emulated-a100": 1})
    silent.online = False
    cluster.steps(2, 16)
    silent.online = True
    cluster.steps(2)
    assert cluster.lease(first.id).state == "released"
    with cluster.deps.store.read() as tx:
        gone = tx.replicas.get(first.id)
    assert gone is not None
    assert gone.state == ReplicaState.EXITED
    (second,) = cluster.replicas("chat")
    assert (second.state, second.attempt) == (ReplicaState.RUNNING, 2)


def test_a_replica_that_stops_answering_leaves_the_routes_and_stays(cluster: Cluster) -> None:
    cluster.node("a")
    cluster.submit(a_server("chat"))
    cluster.steps(3)
    (replica,) = cluster.replicas("chat")
    agent = cluster.agent_of(replica)
    agent.run(replica.id, ready=False)
    agent.report()
    cluster.sweep()
    assert read_routes(cluster.deps)[0].routes == ()
    assert cluster.endpoint("chat").state == "degraded"
    assert cluster.state("chat") is JobState.RUNNING


def test_cancelling_a_server_closes_its_endpoint_and_frees_the_name(cluster: Cluster) -> None:
    cluster.node("a")
    cluster.submit(a_server("chat"))
    cluster.steps(3)
    with pytest.raises(Conflict, match="open already"):
        cluster.submit(a_server("other", serve={"model": "/m", "endpoint": "chat"}))
    cluster.cancel("chat")
    cluster.steps(2)
    assert cluster.state("chat") is JobState.CANCELLED
    assert cluster.endpoint("chat").state == "closed"
    cluster.submit(a_server("other", serve={"model": "/m", "endpoint": "chat"}))
    assert cluster.endpoint("chat").state == "pending"


def test_a_server_is_wanted_however_often_its_nodes_fail(cluster: Cluster) -> None:
    cluster.node("a", {"emulated-a100": 1})
    cluster.submit(a_server("chat", disconnect_grace=3600.0))
    cluster.steps(2)
    _count_failures(cluster, own=1000, infrastructure=1000)
    for reason in (ExitReason.KILLED, ExitReason.ERROR):
        cluster.finish("chat", reason)
        cluster.steps(3, 300)
        assert cluster.state("chat") is JobState.RUNNING
    assert cluster.gangs("chat")[0].attempt == 3


def test_a_server_that_never_answers_is_given_up_and_its_endpoint_says_why(
    cluster: Cluster,
) -> None:
    cluster.node("a")
    cluster.submit(a_server("chat"))
    for attempt in range(1, 7):
        _start_without_answering(cluster, "chat", attempt)
        cluster.finish("chat", ExitReason.ERROR)
        if attempt < 6:
            cluster.sweep()
            endpoint = cluster.endpoint("chat")
            assert endpoint.state == "pending"
            assert endpoint.message == (
                f"0 of 1 replicas are ready; attempt {attempt} ended: replica 0 on node a: ended: "
                "error"
            )
    cause = "replica 0 on node a: ended: error; given up after 6 failed starts in a row"
    job = cluster.job("chat")
    assert (job.state, job.exit_reason, job.message) == ("failed", "error", cause)
    endpoint = cluster.endpoint("chat")
    assert endpoint.state == "closed"
    assert endpoint.message == f"the serving job chat is failed: {cause}"


def test_one_replica_that_cannot_start_is_given_up_while_its_sibling_answers(
    cluster: Cluster,
) -> None:
    cluster.node("a")
    cluster.submit(a_server("chat", 2))
    cluster.steps(3)
    kept, bad = cluster.replicas("chat")
    for _ in range(6):
        cluster.deps.run(lambda tx: _forget_answer(tx, bad.gang_id))
        row = next(it for it in cluster.replicas("chat") if it.gang_id == bad.gang_id)
        agent = cluster.agent_of(row)
        agent.exit(row.id, ExitReason.ERROR)
        agent.report()
        for _ in range(40):
            if cluster.gangs("chat")[bad.gang_index].state in ("running", "failed"):
                break
            cluster.step()
    cluster.sweep()
    gone = "replica 1 on node a: ended: error; given up after 6 failed starts in a row"
    assert cluster.gangs("chat")[bad.gang_index].state == "failed"
    live = [it.id for it in cluster.replicas("chat") if it.state == ReplicaState.RUNNING]
    assert live == [kept.id]
    job, endpoint = cluster.job("chat"), cluster.endpoint("chat")
    assert (job.state, job.message) == ("running", f"1 of 2 replicas run; attempt 6 ended: {gone}")
    assert (endpoint.state, endpoint.message) == (
        "degraded",
        f"1 of 2 replicas are ready; attempt 6 ended: {gone}",
    )
    sentence = explain_job(cluster.deps, ADMIN, "chat").sentence
    assert f"replica 1 has no further attempt: attempt 6 ended (error, exit code 1): {gone}" in (
        sentence
    )


def _forget_answer(tx: Transaction, gang_id: str) -> None:
    """As if the gang's replica had never answered."""
    gang = tx.gangs.get(GangId(gang_id))
    assert gang is not None
    for replica in tx.replicas.of_attempt(GangId(gang_id), gang.attempt):
        replica.ready_at = None


def test_a_server_that_runs_and_does_not_answer_in_time_counts_as_a_failed_start(
    cluster: Cluster,
) -> None:
    cluster.node("a")
    serve = {"model": "/models/tiny", "ready_within": "30s"}
    cluster.submit(a_server("chat", serve=serve))
    _start_without_answering(cluster, "chat", 1)
    for _ in range(29):
        cluster.clock.advance(1)
        cluster.tick(start=False)
        cluster.sweep()
    assert cluster.state("chat") is JobState.RUNNING
    cluster.clock.advance(1.1)
    cluster.sweep()
    gang = cluster.gangs("chat")[0]
    assert (gang.state, gang.reason, gang.own_failures) == ("stopping", "not_ready", 1)
    assert gang.message == (
        "replica 0 on node a: it did not answer GET /health with 200 within 30 s of its start"
    )
    cluster.tick(start=False)
    assert cluster.gangs("chat")[0].state == "queued"


def test_a_server_that_has_answered_once_has_all_the_time(cluster: Cluster) -> None:
    cluster.node("a")
    cluster.submit(a_server("chat", serve={"model": "/models/tiny", "ready_within": "30s"}))
    cluster.steps(3)
    (replica,) = cluster.replicas("chat")
    cluster.agent_of(replica).run(replica.id, ready=False)
    for _ in range(60):
        cluster.clock.advance(1)
        cluster.tick(start=False)
        cluster.sweep()
    assert cluster.gangs("chat")[0].attempt == 1
    assert cluster.state("chat") is JobState.RUNNING


def _start_without_answering(cluster: Cluster, name: str, attempt: int) -> None:
    """Waits for the attempt; its process runs and its port stays silent."""
    for _ in range(60):
        cluster.clock.advance(1)
        cluster.tick(start=False)
        cluster.cycle()
        for agent in cluster.agents.values():
            agent.poll()
            for process in list(agent.live()):
                agent.run(process.id)
            agent.report()
        if cluster.gangs(name)[0].attempt == attempt:
            return
    raise AssertionError(f"attempt {attempt} never began")


def _count_failures(cluster: Cluster, own: int, infrastructure: int) -> None:
    gang_id = cluster.gangs("chat")[0].id

    def work(tx: Transaction) -> None:
        gang = tx.gangs.get(gang_id)
        assert gang is not None
        gang.own_failures, gang.infrastructure_failures = own, infrastructure

    cluster.deps.run(work)


def test_a_serving_job_says_how_many_of_its_replicas_run(cluster: Cluster) -> None:
    cluster.node("a", {BIG: 1})
    cluster.submit(a_server("model", 2))
    cluster.steps(3)
    assert cluster.job("model").message == "1 of 2 replicas run"
    cluster.node("b", {BIG: 1})
    cluster.steps(3)
    assert cluster.job("model").message == "2 of 2 replicas run"
    cluster.finish("model", ExitReason.KILLED)
    assert cluster.job("model").message == (
        "1 of 2 replicas run; attempt 1 ended: replica 0 on node a: ended: killed"
    )
