"""A cycle commits its plan in slices: each is short, stands by itself, and is checked anew."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

import pytest
from sqlalchemy import func, select

from control_plane.errors import Conflict
from control_plane.services.deps import Hints
from control_plane.services.scheduling import commit_plan
from control_plane.services.scheduling.cycle import run_cycle
from control_plane.store.models import Cycle, Gang, Lease
from control_plane.store.unit_of_work import Store, Transaction
from penstock.api.states import JobState, NodeIntent
from tests.fakes.cluster import BIG, Cluster, a_gang, a_task
from tests.fakes.failing_store import Crash, FailingStore
from tests.integration.services.invariants import broken

SLICE = 4
ResultT = TypeVar("ResultT")


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(commit_plan, "SLICE", SLICE)


class CountingStore(Store):
    """Notes of each transaction how many leases it granted and how many gangs it changed."""

    def __init__(self, store: Store) -> None:
        super().__init__(store.database)
        self.sizes: list[tuple[int, int]] = []

    def _once(
        self, work: Callable[[Transaction], ResultT], serial: bool
    ) -> tuple[ResultT, set[str]]:
        def counted(tx: Transaction) -> ResultT:
            leases, gangs = self._seen(tx)
            result = work(tx)
            tx._session.flush()
            more_leases, changed = self._seen(tx)
            if changed != gangs:
                num_changed = sum(changed[it] != version for it, version in gangs.items())
                self.sizes.append((more_leases - leases, num_changed))
            return result

        return super()._once(counted, serial)

    @staticmethod
    def _seen(tx: Transaction) -> tuple[int, dict[str, int]]:
        versions = tx._session.execute(select(Gang.id, Gang.version))
        num_leases = tx._session.scalar(select(func.count(Lease.id))) or 0
        return num_leases, {row[0]: row[1] for row in versions}


@dataclass(slots=True)
class AfterTheFirst:
    """Hints that let something happen once the first slice is committed: it wakes nodes."""

    hints: Hints
    happening: Callable[[], object] | None

    def publish(self, topic: str) -> None:
        self.hints.publish(topic)
        if topic.startswith("node:") and self.happening is not None:
            happening, self.happening = self.happening, None
            happening()


def after_first_slice(cluster: Cluster, happening: Callable[[], object]) -> None:
    cluster.deps = replace(cluster.deps, hints=AfterTheFirst(cluster.deps.hints, happening))


def submit(cluster: Cluster, num: int, **fields: object) -> list[str]:
    names = [f"job-{number:02}" for number in range(num)]
    for name in names:
        cluster.submit(a_task(name, **fields))  # type: ignore[arg-type]
    return names


def starting(cluster: Cluster, names: Sequence[str]) -> int:
    return sum(cluster.state(name) is JobState.STARTING for name in names)


def last_cycle(cluster: Cluster) -> Cycle:
    with cluster.deps.store.read() as tx:
        return tx._session.scalars(select(Cycle).order_by(Cycle.id.desc())).first()  # type: ignore[return-value]


def test_no_transaction_of_a_cycle_decides_more_than_a_slice(cluster: Cluster) -> None:
    cluster.node("a", {BIG: 4 * SLICE}, cores=80)
    placed, waiting = submit(cluster, 2 * SLICE + 1), 2 * SLICE
    for number in range(waiting):
        cluster.submit(a_task(f"waiting-{number}", 9 * SLICE, priority=10))
    cluster.submit(a_gang("wide", SLICE + 2, priority=20))
    store = CountingStore(cluster.deps.store)
    cluster.deps = replace(cluster.deps, store=store)
    assert cluster.cycle() == len(placed) + 1
    alone = (SLICE + 2, 1)  # a gang is placed whole, however large
    assert store.sizes == [(SLICE, SLICE), (SLICE, SLICE), (1, 1), alone, (0, SLICE), (0, SLICE)]
    assert not broken(cluster)
    cycle = last_cycle(cluster)
    assert (len(cycle.placed), len(cycle.deferred)) == (len(placed) + 1, waiting)


def test_who_waits_to_write_comes_in_between_two_slices(cluster: Cluster) -> None:
    """And what was changed there is left to the next cycle, with all that hangs on it."""
    cluster.node("a", {BIG: SLICE})
    cluster.node("b", {BIG: 2 * SLICE})
    names = submit(cluster, 3 * SLICE)

    def happening() -> None:
        cluster.submit(a_task("between"))
        cluster.intend("b", NodeIntent.CORDONED)
        left = [name for name in names if cluster.state(name) is JobState.QUEUED]
        cluster.cancel(left[0])

    after_first_slice(cluster, happening)
    num = cluster.cycle()
    on_a = [it for it in cluster.leases() if it.node_id == cluster.agents["a"].node_id]
    on_b = [it for it in cluster.leases() if it.node_id == cluster.agents["b"].node_id]
    assert num == starting(cluster, names) == len(on_a) + len(on_b)
    assert len(on_b) <= SLICE, "after its cordon nothing was placed there"
    assert cluster.state("between") is JobState.QUEUED
    assert "overtaken" in last_cycle(cluster).message
    assert not broken(cluster)
    cluster.intend("b", NodeIntent.SCHEDULABLE)
    cluster.cycle()
    assert starting(cluster, [*names, "between"]) == 3 * SLICE
    assert not broken(cluster)


def test_a_leader_deposed_between_two_slices_commits_no_other(cluster: Cluster) -> None:
    cluster.node("a", {BIG: 3 * SLICE})
    names = submit(cluster, 3 * SLICE)
    epoch = cluster.lead()
    assert epoch is not None

    def depose() -> None:
        cluster.lead("new")
        cluster.clock.advance(10)
        assert cluster.lead("new") == epoch + 1

    after_first_slice(cluster, depose)
    with pytest.raises(Conflict, match="is over"):
        cluster.cycle()
    assert starting(cluster, names) == SLICE
    assert (len(last_cycle(cluster).placed), last_cycle(cluster).committed) == (SLICE, True)
    cluster.node("a")
    assert run_cycle(cluster.deps, epoch + 1, "test") == 2 * SLICE
    assert {it.attempt for name in names for it in cluster.replicas(name)} == {1}
    assert not broken(cluster)


@pytest.mark.parametrize("dies_at", [1, 2])
def test_what_a_crash_between_two_slices_leaves_is_placed_by_the_next_cycle(
    cluster: Cluster, dies_at: int
) -> None:
    cluster.node("a", {BIG: 3 * SLICE})
    names = submit(cluster, 3 * SLICE)
    whole, epoch = cluster.deps, cluster.lead()
    assert epoch is not None
    with pytest.raises(Crash):
        run_cycle(replace(whole, store=FailingStore(whole.store.database, dies_at)), epoch, "test")
    assert starting(cluster, names) == len(last_cycle(cluster).placed) == dies_at * SLICE
    assert not broken(cluster)
    assert cluster.cycle() == (3 - dies_at) * SLICE
    assert starting(cluster, names) == len(names)
    assert not broken(cluster)
