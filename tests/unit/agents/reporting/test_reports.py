"""Reports arrive whole and in order through a control plane that fails in every way."""

from __future__ import annotations

import asyncio

import pytest

from agents.boottime import boottime_ns
from agents.client import Refused, Unreachable
from agents.reporting.reports import ReportLoop
from agents.runtimes.fake import FakeRuntime, Script
from penstock.api.assignments import ReportReply, ReportRequest
from penstock.api.states import ReplicaState
from tests.fakes.agent_parts import Bench, a_list, an_assignment

ALL = [ReplicaState.STARTING, ReplicaState.EXITED]


def ended_at_once() -> Bench:
    bench = Bench(runtime=FakeRuntime(lambda _: Script(code=0)))
    bench.controller.take(a_list(1, an_assignment()), boottime_ns())
    bench.controller.sweep()
    return bench


def test_what_happened_is_reported_and_then_forgotten() -> None:
    bench = ended_at_once()
    assert asyncio.run(ReportLoop(bench.client, bench.controller).send())
    assert bench.fake.states("replica_1") == ALL
    assert len(bench.controller.replicas) == 0


def test_while_the_control_plane_is_away_nothing_is_lost() -> None:
    bench = ended_at_once()
    loop = ReportLoop(bench.client, bench.controller)
    bench.fake.away = True
    for _ in range(3):
        with pytest.raises(Unreachable):
            asyncio.run(loop.send())
    assert loop.bell.is_set()
    bench.fake.away = False
    asyncio.run(loop.send())
    assert bench.fake.states("replica_1") == ALL


def test_a_lost_answer_makes_the_same_report_come_again() -> None:
    bench = ended_at_once()
    loop = ReportLoop(bench.client, bench.controller)
    bench.fake.lose_answers = 1
    with pytest.raises(Unreachable):
        asyncio.run(loop.send())
    assert len(bench.controller.replicas) == 1
    asyncio.run(loop.send())
    assert bench.fake.states("replica_1") == [*ALL, *ALL]
    assert len(bench.controller.replicas) == 0


def test_a_refused_epoch_stops_the_replica() -> None:
    bench = Bench()
    bench.controller.take(a_list(1, an_assignment()), boottime_ns())
    bench.fake.refusals["replica_1"] = "stale_epoch"
    asyncio.run(ReportLoop(bench.client, bench.controller).send())
    bench.controller.sweep()
    assert bench.runtime.replicas == {}


class Picky:
    """Refuses every request that tells of one certain replica."""

    def __init__(self, poison: str) -> None:
        self.poison = poison
        self.taken: list[str] = []

    async def report(self, request: ReportRequest) -> ReportReply:
        ids = [it.replica_id for it in request.observations]
        if self.poison in ids:
            raise Refused("invalid", "result: too big")
        self.taken += ids
        return ReportReply(accepted=tuple(ids))


def test_one_report_that_cannot_be_taken_holds_up_no_other() -> None:
    bench = Bench(runtime=FakeRuntime(lambda _: Script(code=0)))
    names = [f"replica_{n}" for n in range(3)]
    bench.controller.take(a_list(1, *map(an_assignment, names)), boottime_ns())
    bench.controller.sweep()
    picky = Picky("replica_1")
    loop = ReportLoop(picky, bench.controller)  # type: ignore[arg-type]

    async def drain() -> None:
        while await loop.send():
            pass

    asyncio.run(drain())
    assert set(picky.taken) == {"replica_0", "replica_2"}
    assert len(bench.controller.replicas) == 0
