"""Lease time is the leader's monotonic time: steps of any clock end, hold and double nothing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta

import pytest
from sqlalchemy import func, select

from control_plane.domain.lease import margin_s
from control_plane.services.agents.assignments import assignment_list
from control_plane.services.deps import Deps
from control_plane.services.leases.clock import IDLE_TICK_S, MAX_STEP_S, LeaseTicker
from control_plane.services.usage.roll_up import roll_up_usage
from control_plane.store.models import Lease, Usage
from control_plane.store.unit_of_work import Transaction
from penstock.api.ids import NodeId
from penstock.api.states import ExitReason, JobState, LeaseState
from tests.fakes.cluster import Cluster, a_server, a_task
from tests.fakes.lease_clock import CloudClock, lease_time

HOUR = 3600.0


@dataclass(slots=True)
class Monotonic:
    """A machine's monotonic clock."""

    now: float = 1000.0

    def __call__(self) -> float:
        return self.now


def _ticker(deps: Deps) -> tuple[Monotonic, LeaseTicker, Callable[[], float]]:
    monotonic, began = Monotonic(), lease_time(deps.store)
    return (
        monotonic,
        LeaseTicker(deps, monotonic),
        lambda: (lease_time(deps.store) - began).total_seconds(),
    )


def _run_one(cluster: Cluster, name: str = "one") -> None:
    cluster.node("a")
    cluster.submit(a_task(name, 2))
    cluster.steps(2)
    assert cluster.state(name) is JobState.RUNNING


def test_the_leader_moves_it_by_its_monotonic_time(cluster: Cluster) -> None:
    _run_one(cluster)
    epoch = cluster.lead()
    monotonic, ticker, passed = _ticker(cluster.deps)
    ticker.tick(epoch)
    assert passed() == 0, "time before its first look does not count"
    for _ in range(3):
        monotonic.now += 1.25
        ticker.tick(epoch)
    assert passed() == pytest.approx(3.75)


@pytest.mark.parametrize("frozen_s", [5.0, 120.0, 86400.0])
def test_a_leader_that_was_frozen_counts_one_step(cluster: Cluster, frozen_s: float) -> None:
    _run_one(cluster)
    epoch = cluster.lead()
    monotonic, ticker, passed = _ticker(cluster.deps)
    ticker.tick(epoch)
    monotonic.now += frozen_s
    ticker.tick(epoch)
    assert passed() == MAX_STEP_S


def test_a_deposed_leader_moves_nothing_and_its_successor_counts_from_its_own_start(
    cluster: Cluster,
) -> None:
    _run_one(cluster)
    old = cluster.lead()
    monotonic, ticker, passed = _ticker(cluster.deps)
    ticker.tick(old)

    def depose(tx: Transaction) -> int:
        row = tx.leaders.get("scheduler")
        assert row is not None
        row.holder, row.epoch = "other", row.epoch + 1
        return row.epoch

    new = cluster.deps.run(depose)
    successor = LeaseTicker(cluster.deps, monotonic)
    monotonic.now += 3
    ticker.tick(old)
    successor.tick(new)
    assert passed() == 0
    monotonic.now += 1
    ticker.tick(old)
    successor.tick(new)
    assert passed() == 1


def test_a_cloud_at_rest_is_ticked_rarely(cluster: Cluster) -> None:
    epoch = cluster.lead()
    monotonic, ticker, passed = _ticker(cluster.deps)
    ticker.tick(epoch)
    monotonic.now += IDLE_TICK_S - 0.1
    ticker.tick(epoch)
    assert passed() == 0
    monotonic.now += 0.1
    ticker.tick(epoch)
    assert passed() == pytest.approx(IDLE_TICK_S)


@pytest.mark.parametrize("seconds", [90.0, HOUR, 30 * 24 * HOUR, -90.0, -HOUR, -2 * HOUR])
def test_a_step_of_the_wall_ends_no_attempt(
    cluster: Cluster, clock: CloudClock, seconds: float
) -> None:
    _run_one(cluster)
    clock.step(seconds)
    cluster.sweep()
    cluster.steps(3)
    assert cluster.state("one") is JobState.RUNNING
    assert cluster.job("one").spec["name"] == "one"
    assert [it.attempt for it in cluster.replicas("one")] == [1]
    assert cluster.node_row("a").health == "ready"


@pytest.mark.parametrize("steps", [(90.0,), (HOUR,), (-HOUR,), (HOUR, -2 * HOUR)])
def test_a_node_that_is_cut_off_holds_its_lease_whatever_the_wall_says(
    cluster: Cluster, clock: CloudClock, steps: tuple[float, ...]
) -> None:
    """Until expiry and margin by lease time, and not a moment longer."""
    _run_one(cluster)
    cluster.node("b")
    cluster.agents["a"].online = cluster.agents["b"].online = False
    (held,) = cluster.leases()
    which = next(it for it in cluster.agents.values() if it.node_id == held.node_id)
    for seconds in steps:
        clock.step(seconds)
        cluster.sweep()
        assert [it.id for it in cluster.leases()] == [held.id]
    left = held.expires_at - lease_time(cluster.deps.store)
    clock.advance(left.total_seconds() + margin_s(held.ttl_s) - 0.1)
    which.enforce()
    cluster.sweep()
    assert cluster.leases() != []
    clock.advance(0.2)
    cluster.sweep()
    assert cluster.leases() == []


@pytest.mark.parametrize("beyond_s", [0.0, 60.0, HOUR])
def test_no_grant_exceeds_its_ttl(cluster: Cluster, beyond_s: float) -> None:
    _run_one(cluster)

    def stretch(tx: Transaction) -> None:
        for lease in tx.leases.held():
            lease.expires_at += timedelta(seconds=beyond_s)

    cluster.deps.run(stretch)
    (grant,) = [
        it.lease
        for it in assignment_list(cluster.deps, NodeId(cluster.agents["a"].node_id)).assignments
        if it.lease is not None
    ]
    assert grant.ttl_s == 30
    assert grant.remaining_s <= 30


def test_a_renewal_never_moves_an_end_back(cluster: Cluster) -> None:
    _run_one(cluster)
    (lease,) = cluster.leases()
    earlier = lease.expires_at - timedelta(seconds=20)
    assert cluster.deps.run(lambda tx: tx.leases.renew([lease.id], earlier)) == {lease.id}
    assert cluster.leases()[0].expires_at == lease.expires_at


@pytest.mark.parametrize("seconds", [HOUR, -HOUR])
def test_a_back_off_lasts_as_long_as_it_was_told(
    cluster: Cluster, clock: CloudClock, seconds: float
) -> None:
    cluster.node("a")
    cluster.submit(a_task("one", retry={"limit": 3}))
    cluster.steps(2)
    cluster.finish("one", reason=ExitReason.ERROR)
    clock.step(seconds)
    cluster.cycle()
    assert cluster.state("one") is JobState.QUEUED
    cluster.steps(3)
    assert [it.attempt for it in cluster.replicas("one")] == [2]


@pytest.mark.parametrize("seconds", [HOUR, -HOUR])
def test_a_server_that_starts_is_not_given_up_by_a_step(
    cluster: Cluster, clock: CloudClock, seconds: float
) -> None:
    cluster.node("a")
    cluster.submit(a_server("web"))
    cluster.clock.advance(1)
    cluster.tick()
    cluster.cycle()
    cluster.tick(start=False)
    clock.step(seconds)
    cluster.sweep()
    assert [it.attempt for it in cluster.replicas("web")] == [1]


@pytest.mark.parametrize("steps", [(90.0,), (HOUR, -2 * HOUR), (-HOUR, 30.0)])
def test_metered_time_is_the_leases_time_after_any_step(
    cluster: Cluster, clock: CloudClock, steps: tuple[float, ...]
) -> None:
    _run_one(cluster)
    for seconds in steps:
        roll_up_usage(cluster.deps)
        clock.step(seconds)
        cluster.steps(2, 2.5)
    cluster.finish("one")
    roll_up_usage(cluster.deps)
    (lease,) = cluster.leases(LeaseState.RELEASED)
    assert lease.ended_at is not None
    held_s = (lease.ended_at - lease.granted_at).total_seconds()
    with cluster.deps.store.read() as tx:
        metered = tx._session.scalar(select(func.sum(Usage.chip_seconds)))
        assert tx._session.scalar(select(func.count(Lease.id))) == 1
    assert metered == pytest.approx(2 * held_s, abs=1e-6)
