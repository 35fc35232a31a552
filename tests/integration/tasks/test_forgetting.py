"""What is past its retention is forgotten, and nothing else."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import TypeVar

import pytest
from sqlalchemy import func, select

from control_plane.services.usage import retention as module
from control_plane.services.usage.retention import forget_old
from control_plane.store.database.engine import Database
from control_plane.store.models import Cycle, Delivery, Event, IdempotencyKey, Job
from control_plane.store.unit_of_work import Store, Transaction
from penstock.api.ids import ReplicaId
from tests.fakes.cluster import Cluster, a_task

ResultT = TypeVar("ResultT")
RETENTION = timedelta(days=30)
NOTIFY = {"webhook": "http://hooks.example/"}


def test_jobs_that_ended_long_ago_lose_their_events_and_logs_but_stay(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In several batches and slices."""
    monkeypatch.setattr(module, "BATCH", 2)
    monkeypatch.setattr(module, "SLICE", 3)
    cluster.node("a")
    names = [f"old-{number}" for number in range(5)]
    logs = [_run(cluster, name) for name in names]
    _pass(cluster, 20)
    cluster.submit(a_task("waiting", chips=9), key="young")
    young = _run(cluster, "young")
    _pass(cluster, 15)
    forget_old(cluster.deps, RETENTION)
    assert [cluster.events(cluster.job(name).id) for name in names] == [[]] * 5
    assert cluster.events(cluster.job("young").id) != []
    assert cluster.events(cluster.job("waiting").id) != []
    assert [cluster.deps.logs.read(ReplicaId(it), 0, 10) for it in logs] == [b""] * 5
    assert cluster.deps.logs.read(ReplicaId(young), 0, 10) == b"hello"
    assert forget_old(cluster.deps, RETENTION) == 0


def test_cycles_webhooks_and_keys_go_with_their_time(cluster: Cluster) -> None:
    cluster.node("a")
    cluster.submit(a_task("old", notify=NOTIFY), key="old")
    cluster.cycle()
    cluster.cancel("old")
    cluster.tick()
    _deliver_all(cluster)
    _pass(cluster, 31)
    cluster.submit(a_task("new", notify=NOTIFY), key="new")
    cluster.cancel("new")
    forget_old(cluster.deps, RETENTION)
    with cluster.deps.store.read() as tx:
        assert tx._session.scalars(select(Cycle)).all() == []
        assert [row.key for row in tx._session.scalars(select(IdempotencyKey))] == ["new"]
        assert [row.state for row in tx._session.scalars(select(Delivery))] == ["pending"]
        assert len(tx._session.scalars(select(Job)).all()) == 2


def test_no_transaction_forgets_more_than_a_slice(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "SLICE", 3)
    for number in range(7):
        cluster.submit(a_task(f"old-{number}"), key=f"{number}")
        cluster.cancel(f"old-{number}")
    _pass(cluster, 31)
    store = WatchedStore(cluster.deps.store.database)
    forget_old(replace(cluster.deps, store=store), RETENTION)
    assert sum(store.num_forgotten) == 7 + 7 * 2, "keys and events"
    assert max(store.num_forgotten) == 3


class WatchedStore(Store):
    """Notes how many keys and events each transaction took away."""

    def __init__(self, database: Database) -> None:
        super().__init__(database)
        self.num_forgotten: list[int] = []

    def _once(
        self, work: Callable[[Transaction], ResultT], serial: bool
    ) -> tuple[ResultT, set[str]]:
        def watched(tx: Transaction) -> ResultT:
            before = self._count(tx)
            result = work(tx)
            self.num_forgotten.append(before - self._count(tx))
            return result

        return super()._once(watched, serial)

    @staticmethod
    def _count(tx: Transaction) -> int:
        counts = [select(func.count(it.id)) for it in (IdempotencyKey, Event)]
        return sum(tx._session.scalar(one) or 0 for one in counts)


def test_a_webhook_that_is_still_to_be_delivered_is_kept(cluster: Cluster) -> None:
    cluster.submit(a_task("old", notify=NOTIFY))
    cluster.cancel("old")
    _pass(cluster, 31)
    forget_old(cluster.deps, RETENTION)
    with cluster.deps.store.read() as tx:
        assert len(tx._session.scalars(select(Delivery)).all()) == 1


def test_a_nodes_events_go_on_where_they_were(cluster: Cluster) -> None:
    """Its newest event stays, so that numbers never begin anew."""
    agent = cluster.node("a")
    before = _numbers(cluster, agent.node_id)
    cluster.clock.advance(31 * 86400)
    forget_old(cluster.deps, RETENTION)
    assert _numbers(cluster, agent.node_id) == before[-1:]
    agent.beat()
    assert _numbers(cluster, agent.node_id) == [before[-1], before[-1] + 1]


def _run(cluster: Cluster, name: str) -> str:
    """A job that ran and left a line; its replica's id."""
    cluster.submit(a_task(name))
    cluster.steps(2)
    (replica,) = cluster.replicas(name)
    cluster.deps.logs.write(replica.id, 0, b"hello")
    cluster.finish(name)
    return replica.id


def _pass(cluster: Cluster, days: float) -> None:
    cluster.clock.advance(days * 86400)
    for agent in cluster.agents.values():
        agent.beat()


def _deliver_all(cluster: Cluster) -> None:
    with cluster.deps.store.write() as tx:
        for row in tx._session.scalars(select(Delivery)):
            row.state = "delivered"


def _numbers(cluster: Cluster, object_id: str) -> list[int]:
    with cluster.deps.store.read() as tx:
        query = select(Event.seq).where(Event.object_id == object_id).order_by(Event.seq)
        return list(tx._session.scalars(query))
