"""What a cycle asks of the database: not more for each gang, and of nodes only what changed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from sqlalchemy import event

from control_plane.services.scheduling import commit_plan
from penstock.api.states import JobState
from tests.fakes.cluster import BIG, Cluster, a_server, a_task
from tests.integration.services.invariants import broken


def test_placing_a_gang_costs_three_statements(cluster: Cluster) -> None:
    """Guarded updates of the gang and of its job, and an event; the rest is done at once."""
    cluster.node("a", {BIG: 40}, cores=80)
    costs = []
    for num_jobs in (1, 2, 20):  # the first has nothing to read of what runs
        for number in range(num_jobs):
            cluster.submit(a_task(f"job-{num_jobs}-{number}"))
        with _statements(cluster) as asked:
            assert cluster.cycle() == num_jobs
        costs.append(len(asked))
    assert costs[2] - costs[1] <= 3 * (20 - 2)


def test_noting_why_a_gang_waits_costs_two_statements(cluster: Cluster) -> None:
    """Guarded updates of the gang and of its job."""
    cluster.node("a", {BIG: 1})
    costs = []
    for num_jobs in (2, 20):
        for number in range(num_jobs):
            cluster.submit(a_task(f"job-{num_jobs}-{number}", 2))
        with _statements(cluster) as asked:
            assert cluster.cycle() == 0
        costs.append(len(asked))
    assert costs[1] - costs[0] <= 2 * (20 - 2)


def test_decisions_are_committed_in_slices_of_any_size(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(commit_plan, "SLICE", 2)
    cluster.node("a", {BIG: 3})
    cluster.submit(a_server("served", 2, priority=90))
    for number in range(5):
        cluster.submit(a_task(f"job-{number}"))
    assert cluster.cycle() == 3
    assert not broken(cluster)
    states = [cluster.state(f"job-{number}") for number in range(5)]
    assert states == [JobState.STARTING, *[JobState.QUEUED] * 4]
    assert {cluster.job(f"job-{number}").reason for number in range(1, 5)} == {
        "behind_higher_priority"
    }


def test_chips_are_read_again_of_nodes_that_changed_only(cluster: Cluster) -> None:
    for name in "abc":
        cluster.node(name, {BIG: 1})
    cluster.submit(a_task("one"))
    assert cluster.cycle() == 1
    (placed,) = cluster.replicas("one")
    with _statements(cluster) as asked, cluster.deps.store.read() as tx:
        pool = cluster.deps.read_pool(tx, cluster.clock.now())
    (chips,) = [values for text, values in asked if "FROM chips" in text]
    assert [it for it in _flat(chips) if str(it).startswith("node_")] == [placed.node_id]
    assert sum(chip.free_milli for node in pool.snapshot.nodes for chip in node.chips) == 2000


def test_without_waiting_gangs_the_pool_is_not_read(cluster: Cluster) -> None:
    cluster.node("a", {BIG: 1})
    cluster.submit(a_task("one"))
    cluster.steps(2)
    assert cluster.state("one") is JobState.RUNNING
    with _statements(cluster) as asked:
        assert cluster.cycle() == 0
    assert not [text for text, _ in asked if "FROM leases" in text or "FROM nodes" in text]


@contextmanager
def _statements(cluster: Cluster) -> Iterator[list[tuple[str, Any]]]:
    """Every statement and its values, as sent to the database."""
    database = cluster.deps.store.database
    engines = {database.engine, database.readers}
    asked: list[tuple[str, Any]] = []

    def note(*args: Any) -> None:
        asked.append((args[2], args[3]))

    for engine in engines:
        event.listen(engine, "before_cursor_execute", note)
    try:
        yield asked
    finally:
        for engine in engines:
            event.remove(engine, "before_cursor_execute", note)


def _flat(values: Any) -> list[Any]:
    return list(values.values()) if isinstance(values, dict) else list(values)
