"""A serving replica joins its endpoint when it answers, and leaves it when it does not."""

from __future__ import annotations

import asyncio

from agents.boottime import boottime_ns
from agents.replicas.readiness import ReadinessLoop
from penstock.api.ids import ReplicaId
from tests.fakes.agent_parts import Bench, a_list, an_assignment


def readiness_told(answers: list[bool]) -> list[bool]:
    """What is told when the health route answers so, one ask after the other."""
    bench = Bench()
    bench.controller.take(a_list(1, an_assignment(serves=True)), boottime_ns())
    bench.controller.sweep()
    told: list[bool] = []

    async def probe(address: str) -> bool:
        return answers.pop(0)

    async def ask_all() -> None:
        loop = ReadinessLoop(bench.controller, probe)
        while answers:
            await loop.ask(ReplicaId("replica_1"))
            request = bench.controller.outbox.take()
            seen = request.observations if request is not None else ()
            told.extend(it.ready for it in seen if it.ready is not None)

    asyncio.run(ask_all())
    return told


def test_only_changes_are_told() -> None:
    assert readiness_told([False, False, True, True]) == [False, True]


def test_one_late_answer_does_not_take_a_replica_out() -> None:
    assert readiness_told([True, False, True, True]) == [True]


def test_two_missing_answers_do() -> None:
    assert readiness_told([True, False, False, True]) == [True, False, True]


def test_a_slow_replica_does_not_delay_another() -> None:
    bench = Bench()
    names = ("slow", "quick")
    bench.controller.take(
        a_list(1, *(an_assignment(it, serves=True) for it in names)), boottime_ns()
    )
    bench.controller.sweep()
    slow = bench.controller.replicas.get(ReplicaId("slow"))
    assert slow is not None

    async def probe(address: str) -> bool:
        if address == slow.address:
            await asyncio.Event().wait()
        return True

    async def look() -> None:
        loop = ReadinessLoop(bench.controller, probe)
        loop.look(0.0)
        for _ in range(5):
            await asyncio.sleep(0)

    asyncio.run(look())
    held = {it.id: it.ready for it in bench.controller.replicas}
    assert held == {"slow": None, "quick": True}


def test_only_running_servers_are_asked() -> None:
    bench = Bench()
    bench.controller.take(a_list(1, an_assignment(serves=False)), boottime_ns())
    bench.controller.sweep()

    async def look() -> int:
        loop = ReadinessLoop(bench.controller, lambda _: _never())
        loop.look(0.0)
        return len(asyncio.all_tasks())

    assert asyncio.run(look()) == 1


async def _never() -> bool:
    raise AssertionError("asked")
