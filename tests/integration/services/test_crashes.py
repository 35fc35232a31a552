"""The control plane dies between any two steps: what it left is finished as if it had not."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, select

from control_plane.hints.hub import Hub
from control_plane.services.accounts.bootstrap import bootstrap
from control_plane.services.deps import Deps
from control_plane.services.usage.roll_up import roll_up_usage
from control_plane.store.database.engine import Database
from control_plane.store.log_store import LogStore
from control_plane.store.models import Base, Usage
from control_plane.store.unit_of_work import Store
from penstock.api.states import ExitReason, NodeIntent
from scheduler.policies.priority_age import PRIORITY_AGE
from tests.fakes.cluster import Cluster, a_gang, a_server, a_task
from tests.fakes.failing_store import Crash, FailingStore
from tests.fakes.lease_clock import CloudClock, lease_time
from tests.integration.conftest import START
from tests.integration.services.invariants import broken

Step = Callable[[Cluster], object]
Story = Sequence[Step]


def _failing_gang() -> Story:
    """A gang fails once, is tried again, and completes."""
    return [
        lambda it: it.submit(a_gang("pair", 2, retry={"limit": 1}), key="1"),
        lambda it: it.cycle(),
        lambda it: it.tick(start=False),
        lambda it: it.tick(),
        lambda it: it.finish("pair", ExitReason.ERROR, rank=1),
        lambda it: it.tick(),
        lambda it: it.step(2),
        lambda it: it.tick(start=False),
        lambda it: it.tick(),
        lambda it: it.finish("pair", rank=0),
        lambda it: it.finish("pair", rank=1),
    ]


def _server_and_preemption() -> Story:
    """A server of low priority gives way to another, and comes back; then it is cancelled."""
    return [
        lambda it: it.submit(a_server("chat", 2, priority=10), key="1"),
        lambda it: it.cycle(),
        lambda it: it.tick(),
        lambda it: it.sweep(),
        lambda it: it.submit(a_server("rush", 2, priority=90), key="2"),
        lambda it: it.cycle(),
        lambda it: it.tick(),
        lambda it: it.cycle(),
        lambda it: it.tick(),
        lambda it: it.cancel("rush"),
        lambda it: it.tick(),
        lambda it: it.step(2),
        lambda it: it.tick(),
        lambda it: it.cancel("chat"),
        lambda it: it.tick(),
    ]


def _silence_and_drain() -> Story:
    """A node falls silent until its leases are over; then the other one is drained."""
    return [
        lambda it: it.submit(a_task("one", 2), key="1"),
        lambda it: it.cycle(),
        lambda it: it.tick(),
        lambda it: _cut_off(it, "one"),
        lambda it: it.clock.advance(40),
        lambda it: it.tick(),
        lambda it: it.sweep(),
        lambda it: it.node("b"),
        lambda it: it.step(2),
        lambda it: it.tick(),
        lambda it: it.intend("b", NodeIntent.DRAINING),
        lambda it: it.tick(),
        lambda it: it.sweep(),
        lambda it: it.intend("b", NodeIntent.SCHEDULABLE),
        lambda it: it.steps(3, 2),
        lambda it: it.finish("one"),
    ]


STORIES = {
    "failing gang": _failing_gang,
    "server and preemption": _server_and_preemption,
    "silence and drain": _silence_and_drain,
}


@pytest.mark.parametrize("name", STORIES)
def test_killed_between_any_two_steps_it_ends_the_same(
    name: str, store: Store, tmp_path: Path
) -> None:
    """After every commit on SQLite; after every sixth on PostgreSQL, which takes longer."""
    database = store.database
    wanted, num_commits = _play(STORIES[name](), database, tmp_path, None)
    assert num_commits > 20
    for dies_at in range(1, num_commits + 1, 1 if database.is_sqlite else 6):
        _empty(database)
        assert _play(STORIES[name](), database, tmp_path, dies_at)[0] == wanted, dies_at


def _play(
    story: Story, database: Database, folder: Path, dies_at: int | None
) -> tuple[dict[str, Any], int]:
    """How the story ended, and how many commits it took.

    Who was cut off asks again: a step during which the process died is done once more by the
    process that follows it.
    """
    store = FailingStore(database)
    cluster = _cluster(store, folder)
    cluster.node("a")
    store.num_commits, store.dies_at = 0, dies_at
    for step in story:
        try:
            step(cluster)
        except Crash:
            assert broken(cluster) == []
            _restart(cluster)
            step(cluster)
            assert broken(cluster) == []
    num_commits = store.num_commits
    _rest(cluster)
    assert broken(cluster) == []
    return _summary(cluster), num_commits


def _empty(database: Database) -> None:
    with database.engine.begin() as connection:
        for table in Base.metadata.sorted_tables:
            connection.execute(table.delete())


def _cluster(store: FailingStore, folder: Path) -> Cluster:
    clock, storage = CloudClock(START), (folder / "storage").as_uri()
    deps = Deps(
        store=store,
        hints=Hub(),
        clock=clock,
        logs=LogStore(storage),
        storage=storage,
        policy=PRIORITY_AGE,
    )
    clock.bind(store)
    bootstrap(deps)
    return Cluster(deps, clock)


def _restart(cluster: Cluster) -> None:
    """Another process over the same database; the agents knock at it as if nothing were."""
    store = FailingStore(cluster.deps.store.database)
    cluster.deps = replace(cluster.deps, store=store)
    cluster.holder += "'"
    cluster.lead()
    cluster.clock.advance(10)
    cluster.listening_since = lease_time(cluster.deps.store)
    for agent in cluster.agents.values():
        agent.deps = cluster.deps


def _rest(cluster: Cluster) -> None:
    """Time for everything that the last steps left to be finished."""
    cluster.steps(4, 2)


def _cut_off(cluster: Cluster, ref: str) -> None:
    (replica,) = cluster.replicas(ref)
    cluster.agent_of(replica).online = False


def _summary(cluster: Cluster) -> dict[str, Any]:
    """What users and operators see in the end."""
    jobs = {}
    for name in ("pair", "chat", "rush", "one"):
        with cluster.deps.store.read() as tx:
            job = tx.jobs.find(name, None)
        if job is not None:
            gangs = cluster.gangs(name)
            jobs[name] = {
                "state": job.state,
                "exit": (job.exit_code, job.exit_reason),
                "attempts": [gang.attempt for gang in gangs],
                "failures": [(gang.own_failures, gang.infrastructure_failures) for gang in gangs],
            }
    roll_up_usage(cluster.deps)
    return {"jobs": jobs, "held": len(cluster.leases()), "metered": _is_metered(cluster)}


def _is_metered(cluster: Cluster) -> bool:
    """Whether the roll-up is the leases' own time."""
    ended = cluster.leases("released") + cluster.leases("expired")
    seconds = sum(
        (lease.ended_at - lease.granted_at).total_seconds() * len(lease.chips)
        for lease in ended
        if lease.ended_at is not None
    )
    with cluster.deps.store.read() as tx:
        counted = tx._session.scalar(select(func.sum(Usage.chip_seconds)))
    return bool(abs(seconds - (counted or 0.0)) < 1e-6)
