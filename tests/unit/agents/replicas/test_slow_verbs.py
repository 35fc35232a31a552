"""A verb of the runtime that takes long holds up nobody but its own replica."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

import pytest
from structlog.testing import capture_logs

from agents.boottime import boottime_ns, seconds_ns
from agents.node.chips.base import ProbeResult
from agents.node.inventory import NodeWatch
from agents.replicas.controller import ReplicaController
from agents.reporting.heartbeat import HeartbeatLoop
from agents.runtimes.base import Launch, Sighting
from agents.runtimes.fake import FakeRuntime, Script
from penstock.api.assignments import Observation
from penstock.api.ids import ReplicaId
from penstock.api.states import ExitReason, ReplicaState
from tests.fakes.agent_parts import Bench, a_controller, a_lease, a_list, an_assignment
from tests.unit.agents.reporting.test_heartbeat import HOST

ONE, TWO = ReplicaId("replica_1"), ReplicaId("replica_2")


class Slow(FakeRuntime):
    """The start of replica 1 takes until `opens` is set."""

    def __init__(self) -> None:
        super().__init__(self._script)
        self.opens = asyncio.Event()
        self.asked = 0

    def _script(self, launch: Launch) -> Script:
        is_slow = launch.assignment.replica_id == ONE
        self.asked += is_slow
        return Script(opens=self.opens if is_slow else None)


async def settled() -> None:
    """Everything has happened that can happen without time."""
    for _ in range(50):
        await asyncio.sleep(0)


def told(controller: ReplicaController) -> list[Observation]:
    request = controller.outbox.take()
    return list(request.observations) if request is not None else []


async def starting() -> tuple[Slow, ReplicaController]:
    runtime = Slow()
    controller = a_controller(runtime)
    controller.take(a_list(1, an_assignment(ONE)), boottime_ns())
    await settled()
    return runtime, controller


def run(test: Coroutine[Any, Any, None]) -> None:
    asyncio.run(asyncio.wait_for(test, 5))


def test_a_replica_whose_start_takes_long_shows_as_starting_and_is_started_once() -> None:
    async def test() -> None:
        runtime, controller = await starting()
        (seen,) = told(controller)
        assert (seen.state, seen.address) == (ReplicaState.STARTING, None)
        assert [it.state for it in controller.reported()] == [ReplicaState.STARTING]
        for generation in (2, 3):
            controller.take(a_list(generation, an_assignment(ONE)), boottime_ns())
            controller.sweep()
            await settled()
        runtime.opens.set()
        await settled()
        assert (runtime.asked, runtime.started) == (1, [ONE])
        assert [it.address is not None for it in told(controller)] == [True, True]

    run(test())


def test_others_start_and_stop_meanwhile() -> None:
    async def test() -> None:
        runtime, controller = await starting()
        both = an_assignment(ONE), an_assignment(TWO)
        controller.take(a_list(2, *both), boottime_ns())
        await settled()
        assert runtime.started == [TWO]
        controller.take(a_list(3, both[0]), boottime_ns())
        await settled()
        assert runtime.replicas[TWO].exit is not None
        assert runtime.started == [TWO]

    run(test())


def test_heartbeats_go_on_and_the_start_ends_with_the_lease_that_they_renewed() -> None:
    async def test() -> None:
        bench = Bench(runtime=Slow())
        bench.controller = controller = a_controller(bench.runtime)
        short = an_assignment(ONE, lease=a_lease(ONE, remaining_s=12))
        bench.fake.assign(short)
        controller.take(a_list(2, short), boottime_ns())
        await settled()
        node = NodeWatch(HOST, ProbeResult, tuple, 60, 5)
        loop = HeartbeatLoop(bench.client, controller, node, "instance", 5.0, settled)
        before = boottime_ns()
        await loop.beat()
        assert isinstance(bench.runtime, Slow)
        bench.runtime.opens.set()
        await settled()
        kept = seconds_ns(bench.fake.ttl_s - bench.fake.margin_s)
        assert bench.runtime.replicas[ONE].deadline_ns >= before + kept

    run(test())


@pytest.mark.parametrize("way", ["list without it", "order to stop", "no lease"])
def test_a_start_can_be_stopped(way: str) -> None:
    async def test() -> None:
        runtime, controller = await starting()
        told(controller)
        if way == "no lease":
            controller.stop_unleased([ONE])
        elif way == "order to stop":
            stop = an_assignment(ONE, desired="stop", lease=None)
            controller.take(a_list(2, stop), boottime_ns())
        else:
            controller.take(a_list(2), boottime_ns())
        await settled()
        (end,) = told(controller)
        assert end.exit is not None
        reason = ExitReason.LEASE_EXPIRED if way == "no lease" else ExitReason.STOPPED
        assert end.exit.reason is reason
        runtime.opens.set()
        await settled()
        assert runtime.replicas == {}
        assert runtime.started == []

    run(test())


def test_a_start_that_outlasts_its_lease_gives_the_deadline_that_has_passed() -> None:
    async def test() -> None:
        runtime = Slow()
        controller = a_controller(runtime)
        short = an_assignment(ONE, lease=a_lease(ONE, remaining_s=11.05))
        controller.take(a_list(1, short), boottime_ns())
        await settled()
        deadline_ns = controller._deadlines_ns[ONE]
        runtime.opens.set()
        await settled()
        assert runtime.replicas[ONE].deadline_ns == deadline_ns

    run(test())


class Crashing(Slow):
    """Every verb fails once in a way that nobody foresaw."""

    def __init__(self) -> None:
        super().__init__()
        self.opens.set()
        self.failed: set[str] = set()

    async def start(self, launch: Launch) -> None:
        self._fail("start")
        await super().start(launch)

    async def sight(self, replica_id: ReplicaId) -> Sighting | None:
        self._fail("sight")
        return await super().sight(replica_id)

    async def renew(self, replica_id: ReplicaId, deadline_ns: int) -> bool:
        self._fail("renew")
        return await super().renew(replica_id, deadline_ns)

    async def forget(self, replica_id: ReplicaId) -> bool:
        self._fail("forget")
        return await super().forget(replica_id)

    def _fail(self, verb: str) -> None:
        if verb not in self.failed:
            self.failed.add(verb)
            raise RuntimeError(verb)


def test_a_verb_that_crashes_is_tried_again_by_the_next_sweep() -> None:
    async def test() -> None:
        runtime = Crashing()
        controller = a_controller(runtime)
        controller.take(a_list(1, an_assignment(ONE)), boottime_ns())
        controller.renew([a_lease(ONE, remaining_s=400)], boottime_ns())
        for _ in range(4):
            await settled()
            controller.sweep()
        await settled()
        assert runtime.started == [ONE]
        runtime.end(ONE)
        await settled()
        seen = told(controller)
        ids = [it.replica_id for it in seen]
        controller.accepted(ids, seen)
        for _ in range(2):
            await settled()
            controller.sweep()
        await settled()
        assert runtime.failed >= {"start", "sight", "forget"}
        assert runtime.replicas == {}
        assert len(controller.replicas) == 0

    with capture_logs() as logged:
        run(test())
    assert "replica_turn_failed" in [it["event"] for it in logged]
