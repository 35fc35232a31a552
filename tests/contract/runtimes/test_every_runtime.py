"""What an agent may rely on of any runtime: real processes, and the fake in memory."""

from __future__ import annotations

import asyncio
import os
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from agents.boottime import boottime_ns, seconds_ns
from agents.runtimes.base import Launch, Runtime, Sighting, StartError, StopOrder
from agents.runtimes.fake import FakeRuntime, Script
from agents.runtimes.process.environment import Recipe
from agents.runtimes.process.folders import ReplicaFolders
from agents.runtimes.process.limits.limiter import Limiter
from agents.runtimes.process.runtime import ProcessRuntime
from penstock.api.ids import ReplicaId
from penstock.api.states import ExitReason, ReplicaState
from tests.fakes.agent_parts import an_assignment

pytestmark = pytest.mark.integration

ONE = ReplicaId("replica_1")
STOP = StopOrder(ExitReason.STOPPED, 0.0, "the test says so")
PRINTS = "printf hello"
IN_TIME_S = 10.0


@dataclass(frozen=True, slots=True)
class Rig:
    """`again` is another start of the agent on what is there; `holds_up` makes every start wait."""

    runtime: Runtime
    again: Callable[[], Runtime]
    holds_up: Callable[[asyncio.Event], None]


def _fake(_: Path, __: pytest.MonkeyPatch) -> Rig:
    opens: list[asyncio.Event] = []

    def script(launch: Launch) -> Script:
        prints = PRINTS in (launch.assignment.command or ())
        gate = opens[0] if opens else None
        return Script(output=b"hello", code=0, opens=gate) if prints else Script(opens=gate)

    runtime = FakeRuntime(script)
    return Rig(runtime, lambda: runtime, opens.append)


def _process(folder: Path, patch: pytest.MonkeyPatch) -> Rig:
    def made() -> ProcessRuntime:
        folders = ReplicaFolders(folder / "replicas")
        folders.prepare()
        recipe = Recipe(python=sys.executable, inherited={"PATH": os.defpath}, socket="")
        return ProcessRuntime(folders, Limiter(), recipe)

    def hold_up(opens: asyncio.Event) -> None:
        async def try_storage(_: ProcessRuntime, jobs: str) -> None:
            await opens.wait()

        patch.setattr(ProcessRuntime, "_try_storage", try_storage)

    return Rig(made(), made, hold_up)


@pytest.fixture(params=[_fake, _process], ids=["fake", "process"])
def rig(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Rig:
    made: Rig = request.param(tmp_path, monkeypatch)
    return made


def test_a_replica_runs_ends_and_is_forgotten(rig: Rig) -> None:
    async def life(runtime: Runtime) -> None:
        await runtime.start(launch(PRINTS))
        seen = await until(runtime, lambda it: it.exit is not None)
        assert seen.state is ReplicaState.EXITED
        assert seen.exit is not None
        assert (seen.exit.code, seen.exit.reason) == (0, ExitReason.COMPLETED)
        assert await runtime.read_log(ONE, 1, 3) == b"ell"
        assert runtime.log_size(ONE) == 5
        assert await runtime.forget(ONE)
        assert await runtime.sight(ONE) is None
        assert await runtime.forget(ONE), "forgetting again changes nothing"

    within(rig, life)


def test_the_same_start_again_changes_nothing_and_an_end_is_the_end(rig: Rig) -> None:
    async def life(runtime: Runtime) -> None:
        await asyncio.gather(runtime.start(launch()), runtime.start(launch()))
        await running(runtime)
        assert len(await runtime.kept()) == 1
        assert await runtime.stop(ONE, STOP)
        await until(runtime, lambda it: it.exit is not None)
        await runtime.start(launch())
        seen = await runtime.sight(ONE)
        assert seen is not None
        assert seen.exit is not None, "it is never run again"

    within(rig, life)


def test_a_stop_is_recorded_with_its_reason(rig: Rig) -> None:
    async def life(runtime: Runtime) -> None:
        await runtime.start(launch())
        await running(runtime)
        assert await runtime.stop(ONE, STOP)
        seen = await until(runtime, lambda it: it.exit is not None)
        assert seen.exit is not None
        assert seen.exit.reason is ExitReason.STOPPED

    within(rig, life)


def test_what_is_not_there_is_neither_stopped_nor_renewed_nor_seen(rig: Rig) -> None:
    async def life(runtime: Runtime) -> None:
        assert not await runtime.stop(ONE, STOP)
        assert not await runtime.renew(ONE, boottime_ns())
        assert await runtime.sight(ONE) is None
        assert await runtime.kept() == ()
        assert runtime.log_size(ONE) == 0

    within(rig, life)


def test_another_start_of_the_agent_finds_what_was_kept(rig: Rig) -> None:
    async def life(runtime: Runtime) -> None:
        await runtime.start(launch())
        await running(runtime)
        runtime.note_shipped(ONE, 3)
        runtime.note_result(ONE, {"loss": 1.0})
        later = rig.again()
        (kept,) = await later.kept()
        assert (kept.assignment.replica_id, kept.token) == (ONE, "token")
        assert (kept.shipped, kept.result) == (3, {"loss": 1.0})
        assert await later.renew(ONE, boottime_ns() + seconds_ns(99))

    within(rig, life)


def test_a_start_that_waits_holds_up_no_other_verb_and_takes_the_deadline_of_its_end(
    rig: Rig,
) -> None:
    asked: list[int] = []

    def deadline_ns() -> int:
        asked.append(boottime_ns())
        return asked[-1] + seconds_ns(60)

    async def life(runtime: Runtime) -> None:
        opens = asyncio.Event()
        rig.holds_up(opens)
        waiting = asyncio.create_task(runtime.start(launch(deadline_ns=deadline_ns)))
        await asyncio.sleep(0)
        assert await runtime.sight(ReplicaId("replica_2")) is None
        assert await runtime.sight(ONE) is None
        opened = boottime_ns()
        opens.set()
        await waiting
        assert min(asked) >= opened
        await running(runtime)

    within(rig, life)


def test_two_starts_of_one_replica_that_wait_together_start_it_once(rig: Rig) -> None:
    async def life(runtime: Runtime) -> None:
        opens = asyncio.Event()
        rig.holds_up(opens)
        waiting = [asyncio.create_task(runtime.start(launch())) for _ in range(2)]
        await asyncio.sleep(0)
        opens.set()
        await asyncio.gather(*waiting)
        await running(runtime)
        assert len(await runtime.kept()) == 1

    within(rig, life)


def test_a_start_that_is_cancelled_leaves_nothing_and_may_come_again(rig: Rig) -> None:
    async def life(runtime: Runtime) -> None:
        opens = asyncio.Event()
        rig.holds_up(opens)
        waiting = asyncio.create_task(runtime.start(launch()))
        await asyncio.sleep(0)
        waiting.cancel()
        assert isinstance(*await asyncio.gather(waiting, return_exceptions=True), BaseException)
        assert await runtime.sight(ONE) is None
        assert await runtime.kept() == ()
        opens.set()
        await runtime.start(launch())
        await running(runtime)

    within(rig, life)


def test_a_start_that_fails_says_so_and_leaves_nothing(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: object) -> Any:
        raise OSError("no such thing")

    async def life(runtime: Runtime) -> None:
        if isinstance(runtime, FakeRuntime):
            runtime.script = lambda _: Script(fails="no such thing")
        else:
            monkeypatch.setattr(ReplicaFolders, "make", fails)
        with pytest.raises(StartError, match="no such thing"):
            await runtime.start(launch())
        assert await runtime.sight(ONE) is None

    within(rig, life)


def launch(script: str = "exec sleep 100", deadline_ns: Callable[[], int] | None = None) -> Launch:
    given = an_assignment(ONE, command=("sh", "-c", script), storage="/tmp/jobs/job_1")
    over_ns = boottime_ns() + seconds_ns(60)
    return Launch(given, "127.0.0.1:20001", "token", deadline_ns or (lambda: over_ns))


def within(rig: Rig, life: Callable[[Runtime], Coroutine[None, None, None]]) -> None:
    """Whatever is left of the replica is ended afterwards."""

    async def lived() -> None:
        async with _tidied(rig.runtime):
            await life(rig.runtime)

    asyncio.run(lived())


@asynccontextmanager
async def _tidied(runtime: Runtime) -> AsyncIterator[None]:
    try:
        yield
    finally:

        async def is_forgotten() -> bool:
            seen = await runtime.sight(ONE)
            if seen is not None and seen.exit is None:
                await runtime.stop(ONE, STOP)
            return seen is None or (seen.exit is not None and await runtime.forget(ONE))

        await _eventually(is_forgotten)
        runtime.close()


async def running(runtime: Runtime) -> None:
    await until(runtime, lambda it: it.state is ReplicaState.RUNNING)


async def until(runtime: Runtime, wanted: Callable[[Sighting], bool]) -> Sighting:
    async def look() -> Sighting | None:
        seen = await runtime.sight(ONE)
        return seen if seen is not None and wanted(seen) else None

    found: Sighting = await _eventually(look)
    return found


async def _eventually(look: Callable[[], Awaitable[Any]]) -> Any:
    end = time.monotonic() + IN_TIME_S
    while not (found := await look()):
        assert time.monotonic() < end, "it did not happen in time"
        await asyncio.sleep(0.01)
    return found
