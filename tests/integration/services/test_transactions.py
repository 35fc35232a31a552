"""What transactions promise on both databases: one view, one after another, hints after commits."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from control_plane.services.agents.heartbeat import record_heartbeat
from control_plane.services.leases.expire import expire_leases
from control_plane.store.models import Project
from control_plane.store.repositories.leases import Leases
from control_plane.store.unit_of_work import MAX_TRIES, LostRace, Transaction
from penstock.api.assignments import HeartbeatRequest
from penstock.api.ids import JobId, NodeId
from penstock.api.messages import say
from penstock.api.states import JobState
from tests.fakes.cluster import Cluster, a_task


def test_a_read_is_as_of_one_moment(cluster: Cluster) -> None:
    with cluster.deps.store.read() as tx:
        assert list(tx.jobs.in_state([JobState.QUEUED])) == []
        with ThreadPoolExecutor(1) as other:
            job_id = other.submit(cluster.submit, a_task("one")).result(10)
        assert list(tx.gangs.of_job(JobId(job_id))) == []
    with cluster.deps.store.read() as tx:
        assert len(tx.gangs.of_job(JobId(job_id))) == 1


def test_deciding_transactions_follow_one_another(cluster: Cluster) -> None:
    """Each sees what the one before it wrote, whenever it began."""
    never = threading.Event()

    def count(tx: Transaction) -> int:
        projects = tx.projects.page(100, None).rows
        never.wait(0.1)
        name = f"p{len(projects)}"
        tx.projects.add(Project(id=f"project_{name}", name=name, created_at=cluster.clock.now()))
        return len(projects)

    with ThreadPoolExecutor(4) as threads:
        seen = sorted(threads.map(lambda _: cluster.deps.run(count), range(4)))
    assert seen == [1, 2, 3, 4]


def test_writes_that_decide_nothing_pass_beside_those_that_do(cluster: Cluster) -> None:
    if cluster.deps.store.database.is_sqlite:
        pytest.skip("SQLite has one writer at a time")
    agent = cluster.node("a")
    with cluster.deps.store.write(), ThreadPoolExecutor(1) as other:
        other.submit(agent.beat).result(5)


def test_an_event_is_told_by_a_deciding_transaction_only(cluster: Cluster) -> None:
    def work(tx: Transaction) -> None:
        tx.events.append("job", "job_0", None, "job.queued", say("submitted"), cluster.clock.now())

    with pytest.raises(AssertionError, match="serial"):
        cluster.deps.run(work, serial=False)


def test_who_lost_a_race_decides_anew_a_bounded_number_of_times(cluster: Cluster) -> None:
    tries: list[Transaction] = []

    def work(tx: Transaction) -> str:
        tries.append(tx)
        tx.hints.add(f"try {len(tries)}")
        if len(tries) < 3:
            raise LostRace
        return "done"

    cluster.hub.published.clear()
    assert cluster.deps.run(work) == "done"
    assert cluster.hub.published == ["try 3"], "what was rolled back is not told"

    def never(tx: Transaction) -> None:
        tries.append(tx)
        raise LostRace

    tries.clear()
    with pytest.raises(LostRace):
        cluster.deps.run(never)
    assert len(tries) == MAX_TRIES


def test_nothing_is_told_of_what_was_not_committed(cluster: Cluster) -> None:
    def work(tx: Transaction) -> None:
        tx.hints.add("never")
        raise ValueError

    with pytest.raises(ValueError):  # noqa: PT011
        cluster.deps.run(work)
    assert "never" not in cluster.hub.published


def test_a_lease_renewed_while_it_is_being_expired_lives_on(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The heartbeat was granted: the server may not take the chips back."""
    if cluster.deps.store.database.is_sqlite:
        pytest.skip("SQLite has one writer at a time")
    agent = cluster.node("a")
    cluster.submit(a_task("one"))
    cluster.steps(3)
    cluster.clock.advance(36)
    empty = HeartbeatRequest(instance="1", generation=0)
    record_heartbeat(cluster.deps, NodeId(agent.node_id), empty)
    end, late = Leases.end, [agent.beat]

    def renewed_meanwhile(self: Leases, *args: object) -> bool:
        with ThreadPoolExecutor(1) as other:
            while late:
                other.submit(late.pop()).result(10)
        return end(self, *args)  # type: ignore[arg-type]

    monkeypatch.setattr(Leases, "end", renewed_meanwhile)
    expire_leases(cluster.deps)
    assert len(cluster.leases()) == 1
    assert cluster.state("one") is JobState.RUNNING
