"""The scheduler daemon as a thread, on real time: hints, sweeps, failures, succession."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from sqlalchemy.exc import OperationalError

from control_plane.clock import ManualClock
from control_plane.daemon import scheduler as module
from control_plane.daemon.leading import Leading
from control_plane.daemon.scheduler import SchedulerDaemon
from control_plane.hints.hub import Hub
from control_plane.hints.topics import CYCLE, SUBMITTED
from control_plane.services.deps import Deps
from control_plane.services.nodes.count import count_pool
from control_plane.services.scheduling.cycle import run_cycle
from control_plane.store.models import Leader
from control_plane.store.unit_of_work import Transaction
from control_plane.telemetry.metrics import Metrics
from penstock.api.states import JobState
from tests.fakes.cluster import Cluster, a_task
from tests.fakes.waiting import until

SWEEP_S = 0.2
TERM_S = 3.0
Start = Callable[[Hub], Callable[[], None]]
"""Starts one process's threads; what it returns stops them."""


class RunningClock(ManualClock):
    """The real time."""

    def now(self) -> datetime:
        return datetime.now(UTC)


@pytest.fixture
def live(deps: Deps) -> Cluster:
    """The rig on the real clock: the daemon runs by itself."""
    clock = RunningClock(datetime.now(UTC))
    cluster = Cluster(replace(deps, clock=clock), clock)
    cluster.node("a")
    return cluster


@pytest.fixture
def daemons(live: Cluster) -> Iterator[Start]:
    """Starts daemons over one database, and stops what is left of them."""
    with ExitStack() as stack:

        def start(hub: Hub) -> Callable[[], None]:
            metrics = Metrics(lambda: count_pool(live.deps))
            leading = Leading(live.deps, hub, TERM_S)
            daemon = SchedulerDaemon(live.deps, hub, metrics, SWEEP_S, leading)
            leading.start()
            daemon.start()
            process = stack.enter_context(ExitStack())
            process.callback(leading.stop)
            process.callback(daemon.stop)
            return process.close

        yield start


def test_a_hint_is_followed_at_once(live: Cluster, daemons: Start) -> None:
    daemons(live.hub)
    until(lambda: _leader(live) is not None)
    live.submit(a_task("one"))
    until(lambda: live.state("one") is JobState.STARTING)


def test_submits_alone_let_the_scheduler_rest_and_what_came_free_does_not(
    live: Cluster, daemons: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    began: list[float] = []

    def slow(deps: Deps, epoch: int, trigger: str) -> int:
        began.append(time.monotonic())
        time.sleep(0.1)
        return 0

    monkeypatch.setattr(module, "run_cycle", slow)
    daemons(live.hub)
    until(lambda: _leader(live) is not None)
    time.sleep(module.SUBMITS_PAUSE * 0.1 + 2 * SWEEP_S)
    began.clear()
    live.hub.publish(SUBMITTED)
    until(lambda: len(began) == 1)
    live.hub.publish(SUBMITTED)
    until(lambda: len(began) == 2)
    assert began[1] - began[0] > (1 + module.SUBMITS_PAUSE) * 0.1 - 0.05
    live.hub.publish(CYCLE)
    until(lambda: len(began) == 3)
    assert began[2] - began[1] < began[1] - began[0]


def test_a_lost_hint_costs_a_sweep(live: Cluster, daemons: Start) -> None:
    """As in a process that hears nothing of the others: no Redis."""
    daemons(Hub())
    until(lambda: _leader(live) is not None)
    live.submit(a_task("one"))
    until(lambda: live.state("one") is JobState.STARTING)


def test_a_cycle_that_failed_is_run_again(
    live: Cluster, daemons: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without another hint, and without another event."""
    failures = [OperationalError("", {}, Exception("gone"))] * 2

    def failing(deps: Deps, epoch: int, trigger: str) -> int:
        if failures:
            raise failures.pop()
        return run_cycle(deps, epoch, trigger)

    live.submit(a_task("one"))
    monkeypatch.setattr(module, "run_cycle", failing)
    daemons(Hub())
    until(lambda: live.state("one") is JobState.STARTING)
    assert failures == []


def test_one_daemon_leads_and_another_follows_it_at_once_when_it_stops(
    live: Cluster, daemons: Start
) -> None:
    stop_first, _ = daemons(live.hub), daemons(live.hub)
    until(lambda: _leader(live) is not None)
    time.sleep(2 * SWEEP_S)
    stopped_at = time.monotonic()
    stop_first()
    until(lambda: (it := _leader(live)) is not None and it.epoch == 2)
    assert time.monotonic() - stopped_at < TERM_S
    live.submit(a_task("one"))
    until(lambda: live.state("one") is JobState.STARTING)


def test_a_daemon_whose_term_was_taken_stands_by(live: Cluster, daemons: Start) -> None:
    daemons(live.hub)
    until(lambda: _leader(live) is not None)

    def depose(tx: Transaction) -> None:
        row = tx.leaders.get("scheduler")
        assert row is not None
        row.holder, row.epoch = "somebody", row.epoch + 1

    live.deps.run(depose)
    live.submit(a_task("one"))
    time.sleep(3 * SWEEP_S)
    assert live.state("one") is JobState.QUEUED
    until(lambda: live.state("one") is JobState.STARTING)
    leader = _leader(live)
    assert leader is not None
    assert leader.epoch == 3


def _leader(live: Cluster) -> Leader | None:
    with live.deps.store.read() as tx:
        return tx.leaders.get("scheduler")
