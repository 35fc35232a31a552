"""Logs arrive without a gap or a repeat, wherever the server's log stands."""

from __future__ import annotations

import asyncio

import pytest

from agents.boottime import boottime_ns
from agents.client import Unreachable
from agents.reporting.logs import CHUNK_BYTES, LogLoop
from agents.reporting.reports import ReportLoop
from agents.runtimes.fake import FakeRuntime, Script
from penstock.api.ids import ReplicaId
from penstock.api.states import ReplicaState
from tests.fakes.agent_parts import Bench, a_list, an_assignment

TEXT = bytes(range(256)) * 4096  # 1 MiB, four chunks


def running(output: bytes, code: int | None = None) -> tuple[Bench, LogLoop]:
    bench = Bench(runtime=FakeRuntime(lambda _: Script(output=output, code=code)))
    loop = LogLoop(bench.client, bench.controller)
    bench.controller.take(a_list(1, an_assignment()), boottime_ns())
    return bench, loop


def ship_all(loop: LogLoop) -> int:
    async def ship() -> int:
        rounds = 1
        while await loop.ship([ReplicaId("replica_1")]):
            rounds += 1
        return rounds

    return asyncio.run(ship())


def test_a_long_log_travels_in_bounded_chunks() -> None:
    bench, loop = running(TEXT)
    assert ship_all(loop) == len(TEXT) // CHUNK_BYTES
    assert bench.fake.logs["replica_1"] == TEXT


def test_a_lost_answer_leaves_no_repeat() -> None:
    bench, loop = running(b"one\n")
    bench.fake.lose_answers = 1
    with pytest.raises(Unreachable):
        asyncio.run(loop.ship([ReplicaId("replica_1")]))
    bench.runtime.write(ReplicaId("replica_1"), b"two\n")
    ship_all(loop)
    assert bench.fake.logs["replica_1"] == b"one\ntwo\n"


@pytest.mark.parametrize("server_has", [0, 3, 8])
def test_the_servers_offset_wins(server_has: int) -> None:
    bench, loop = running(b"12345678")
    bench.fake.logs["replica_1"] = b"12345678"[:server_has]
    bench.controller.replicas.change(ReplicaId("replica_1"), shipped=5)
    ship_all(loop)
    assert bench.fake.logs["replica_1"] == b"12345678"


def test_a_server_that_is_behind_is_left_alone_for_as_long_as_it_asks() -> None:
    bench, loop = running(b"12345678")
    bench.fake.retry_after_s = 60.0
    ship_all(loop)
    calls = len(bench.fake.calls)
    bench.fake.retry_after_s = None
    assert ship_all(loop) == 1
    assert len(bench.fake.calls) == calls


def test_the_end_of_a_short_replica_follows_its_last_words() -> None:
    bench, loop = running(b"hello\n")
    bench.controller.ended = loop.ended
    reports = ReportLoop(bench.client, bench.controller)

    async def end() -> None:
        bench.runtime.end(ReplicaId("replica_1"))
        await asyncio.gather(*asyncio.all_tasks() - {asyncio.current_task()})
        await reports.send()

    asyncio.run(end())
    assert bench.fake.calls == ["logs", "reports"]
    assert bench.fake.states("replica_1")[-1] is ReplicaState.EXITED
    assert len(bench.controller.replicas) == 0


def test_the_end_is_told_even_when_the_last_words_cannot_be() -> None:
    bench, loop = running(b"hello\n")
    bench.controller.ended = loop.ended
    bench.fake.away = True

    async def end() -> None:
        bench.runtime.end(ReplicaId("replica_1"))
        await asyncio.gather(*asyncio.all_tasks() - {asyncio.current_task()})

    asyncio.run(end())
    bench.fake.away = False
    asyncio.run(ReportLoop(bench.client, bench.controller).send())
    assert bench.fake.exit_of("replica_1") is not None
    assert len(bench.controller.replicas) == 1  # its log is still to be shipped
    ship_all(loop)
    assert bench.fake.logs["replica_1"] == b"hello\n"
    assert len(bench.controller.replicas) == 0


def test_a_big_rest_of_a_log_does_not_hold_up_the_end() -> None:
    bench, loop = running(TEXT)
    bench.controller.ended = loop.ended
    bench.runtime.end(ReplicaId("replica_1"))
    asyncio.run(ReportLoop(bench.client, bench.controller).send())
    assert bench.fake.exit_of("replica_1") is not None
    assert "replica_1" not in bench.fake.logs


def test_what_is_shipped_is_noted_at_once_where_it_is_much_and_before_long_where_it_is_little(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    bench, loop = running(TEXT)
    noted: list[int] = []
    monkeypatch.setattr(bench.runtime, "note_shipped", lambda _, offset: noted.append(offset))
    loop.clock = lambda: 100.0
    ship_all(loop)
    assert noted == [CHUNK_BYTES * number for number in range(1, 5)]
    bench.runtime.write(ReplicaId("replica_1"), b"little")
    ship_all(loop)
    loop.note_rest()
    assert noted[4:] == [], "a replica that says a little often costs one note a second"
    loop.clock = lambda: 101.0
    loop.note_rest()
    loop.note_rest()
    assert noted[4:] == [len(TEXT) + 6], "though nothing more was shipped"
