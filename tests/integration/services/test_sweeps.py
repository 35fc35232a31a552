"""Sweeps: they finish what was left, and leave a quiet cloud alone."""

from __future__ import annotations

import pytest

from control_plane.store.unit_of_work import Store, Transaction
from penstock.api.states import JobState, ReplicaState
from tests.fakes.cluster import Cluster, a_gang, a_server, a_task
from tests.integration.services.invariants import broken


def test_a_sweep_over_a_quiet_cloud_writes_nothing(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    cluster.node("a", {"emulated-a100": 5})
    for document in (a_task("one"), a_gang("pair", 2), a_server("chat", 2), a_task("waits", 9)):
        cluster.submit(document)
    cluster.steps(4)
    assert cluster.state("chat") is JobState.RUNNING

    def write(*_: object) -> None:
        raise AssertionError("it writes")

    monkeypatch.setattr(Store, "write", write)
    monkeypatch.setattr(Store, "run", write)
    cluster.sweep()


@pytest.mark.parametrize("state", [ReplicaState.EXITED, ReplicaState.LOST])
def test_an_end_that_nobody_drew_conclusions_from_is_settled(
    cluster: Cluster, state: ReplicaState
) -> None:
    """As after a restore of half a backup: no service leaves it so."""
    cluster.node("a")
    cluster.submit(a_task("one"))
    cluster.steps(2)
    (replica,) = cluster.replicas("one")

    def end(tx: Transaction) -> None:
        row, lease = tx.replicas.get(replica.id), tx.leases.of_replica(replica.id)
        assert row is not None
        assert lease is not None
        row.state = state
        if state is ReplicaState.EXITED:
            row.exit = {"code": 0, "reason": "completed"}
        lease.state, lease.ended_at = "released", cluster.clock.now()

    cluster.agent_of(replica).reboot()
    cluster.deps.run(end)
    assert broken(cluster) != []
    cluster.sweep()
    assert broken(cluster) == []
    done = state is ReplicaState.EXITED
    assert cluster.state("one") is (JobState.SUCCEEDED if done else JobState.QUEUED)


def test_a_job_that_lags_behind_its_gangs_catches_up(cluster: Cluster) -> None:
    cluster.node("a")
    cluster.submit(a_gang("pair", 2))
    cluster.steps(3)

    def lag(tx: Transaction) -> None:
        row = tx.jobs.get(cluster.job("pair").id)
        assert row is not None
        row.state = JobState.STARTING

    cluster.deps.run(lag)
    cluster.sweep()
    assert cluster.state("pair") is JobState.RUNNING
