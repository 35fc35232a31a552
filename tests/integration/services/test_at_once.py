"""Everything at the same time: threads as in production, and promises that hold at every moment."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from itertools import count

from control_plane.domain.job import LIVE
from control_plane.errors import Conflict, NotFound, Unavailable
from control_plane.services.scheduling.cycle import run_cycle
from control_plane.services.usage.roll_up import roll_up_usage
from penstock.api.states import ExitReason, NodeIntent
from tests.fakes.cluster import BIG, SMALL, Cluster, a_gang, a_server, a_task
from tests.fakes.node_agent import FakeAgent
from tests.integration.services.invariants import broken

ROUNDS = 25
EXPECTED = ("busy", "deposed", "job_ended", "job_name_taken", "job_not_found")


def test_promises_hold_while_everything_happens_at_once(cluster: Cluster) -> None:
    for name, chips in {"a": {BIG: 2}, "b": {SMALL: 2}, "c": {BIG: 1, SMALL: 1}}.items():
        cluster.node(name, chips)
    onlooker = replace(cluster, agents={})
    stopped = threading.Event()

    def every(work: Callable[[int], object]) -> None:
        for number in range(ROUNDS):
            try:
                work(number)
            except (Conflict, NotFound, Unavailable) as error:
                if error.code not in EXPECTED:
                    raise

    def watch() -> None:
        while not stopped.is_set():
            assert broken(onlooker) == []

    loops: list[Callable[[int], object]] = [
        lambda number: _cycle(cluster, "one"),
        lambda number: _cycle(cluster, "two"),
        lambda number: _sweep(cluster),
        lambda number: cluster.submit(_work(number)),
        lambda number: cluster.submit(_work(number)),
        lambda number: cluster.cancel(f"job-{number - 5}") if number % 5 == 4 else None,
        lambda number: _open_and_close(cluster, number),
        lambda number: roll_up_usage(cluster.deps),
        *(_life_of(agent) for agent in cluster.agents.values()),
    ]
    with ThreadPoolExecutor(len(loops) + 1) as threads:
        onlooking = threads.submit(watch)
        running: list[Future[None]] = [threads.submit(every, work) for work in loops]
        try:
            for future in running:
                future.result(60)
        finally:
            stopped.set()
        onlooking.result(10)
    assert broken(cluster) == []
    _finish(cluster)


def _sweep(cluster: Cluster) -> None:
    cluster.clock.advance(0.2)
    cluster.sweep()


def _cycle(cluster: Cluster, holder: str) -> None:
    epoch = cluster.lead(holder, 1.0)
    if epoch is not None:
        run_cycle(cluster.deps, epoch, "test")


def _work(number: int) -> dict[str, object]:
    """Two threads want the same name; one gets it."""
    name = f"job-{number}"
    kinds = (a_task(name), a_gang(name, 2, retry={"limit": 2}), a_server(name, 2))
    return kinds[number % 3]


def _open_and_close(cluster: Cluster, number: int) -> None:
    intent = NodeIntent.DRAINING if number % 4 == 1 else NodeIntent.SCHEDULABLE
    if cluster.node_row("c").intent != intent:
        cluster.intend("c", intent)


def _life_of(agent: FakeAgent) -> Callable[[int], object]:
    """Talks, starts what is to start, and lets something end now and then."""
    reasons = (ExitReason.COMPLETED, ExitReason.ERROR, ExitReason.KILLED)
    ends = count()

    def work(number: int) -> None:
        agent.tick()
        for process in list(agent.processes.values()):
            agent.run(process.id, ready=process.assignment.serves)
        live = list(agent.live())
        if live and number % 2:
            agent.exit(live[0].id, reasons[next(ends) % len(reasons)])
        agent.report()
        if agent.sent:
            agent.send_again(agent.sent[number % len(agent.sent)])

    return work


def _finish(cluster: Cluster) -> None:
    """In peace and quiet everything comes to its end."""
    if cluster.node_row("c").intent != NodeIntent.SCHEDULABLE:
        cluster.intend("c", NodeIntent.SCHEDULABLE)
    cluster.holder = "three"
    with cluster.deps.store.read() as tx:
        alive = [job.id for job in tx.jobs.in_state(LIVE)]
    for job_id in alive:
        cluster.cancel(job_id)
    cluster.steps(4, 5)
    with cluster.deps.store.read() as tx:
        assert tx.jobs.in_state(LIVE) == []
    assert cluster.leases() == []
    assert broken(cluster) == []
