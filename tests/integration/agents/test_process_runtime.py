"""The process runtime over real processes: starting, seeing, adopting, burying, forgetting."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import uuid
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from agents.boottime import boottime_ns, seconds_ns
from agents.runtimes.base import Launch, Sighting, StartError, StopOrder
from agents.runtimes.process.environment import Recipe
from agents.runtimes.process.folders import ReplicaFolders
from agents.runtimes.process.isolation import Isolation
from agents.runtimes.process.limits.limiter import Limiter, detect
from agents.runtimes.process.runtime import ProcessRuntime
from agents.runtimes.process.supervisor import files
from penstock.api.ids import ReplicaId
from penstock.api.states import ExitReason, ReplicaState
from tests.fakes.agent_parts import a_chip, an_assignment
from tests.integration.agents.supervised import is_alive, wait_for

pytestmark = pytest.mark.integration
ONE = ReplicaId("replica_1")


@pytest.fixture(params=["groups", "no groups"])
def limiter(request: pytest.FixtureRequest) -> Iterator[Limiter]:
    found = detect(f"test-{uuid.uuid4().hex[:8]}") if request.param == "groups" else Limiter()
    yield found
    found.leave()
    assert not [it.top for it in found.hierarchies if it.top.exists()]


@pytest.fixture
def runtime(tmp_path: Path, limiter: Limiter, namespaces: bool) -> Iterator[ProcessRuntime]:
    made = a_runtime(tmp_path, limiter)
    made.isolation = Isolation("" if namespaces else "not permitted")
    yield made
    for replica_id in made.folders.ids():
        remove(made, replica_id)
    for parent in made._parents:
        parent.wait(10)


def remove(runtime: ProcessRuntime, replica_id: ReplicaId) -> None:
    def has_ended() -> bool:
        asyncio.run(runtime.stop(replica_id, StopOrder(ExitReason.STOPPED, 0.0)))
        seen = asyncio.run(runtime.sight(replica_id))
        return seen is not None and seen.exit is not None

    wait_for(has_ended)
    wait_for(lambda: asyncio.run(runtime.forget(replica_id)))


def a_runtime(state_dir: Path, limiter: Limiter) -> ProcessRuntime:
    folders = ReplicaFolders(state_dir / "replicas")
    folders.prepare()
    recipe = Recipe(python=sys.executable, inherited={"PATH": os.defpath}, socket="")
    return ProcessRuntime(folders, limiter, recipe)


def lasting(seconds: float) -> Callable[[], int]:
    deadline_ns = boottime_ns() + seconds_ns(seconds)
    return lambda: deadline_ns


def launch(replica_id: ReplicaId = ONE, *command: str, **fields: Any) -> Launch:
    given = an_assignment(replica_id, command=command or ("sleep", "100"), **fields)
    return Launch(given, "127.0.0.1:20001", "token", lasting(60))


def ended(runtime: ProcessRuntime, replica_id: ReplicaId = ONE) -> Sighting:
    return wait_for(
        lambda: (
            it if (it := asyncio.run(runtime.sight(replica_id))) and it.exit is not None else None
        )
    )


def running(runtime: ProcessRuntime, replica_id: ReplicaId = ONE) -> dict[str, Any]:
    """started.json of a replica, once it runs."""
    wait_for(
        lambda: (it := asyncio.run(runtime.sight(replica_id))) and it.state is ReplicaState.RUNNING
    )
    return wait_for(lambda: runtime.folders.started(replica_id))


def test_a_replica_runs_and_ends_and_is_forgotten(runtime: ProcessRuntime) -> None:
    asyncio.run(runtime.start(launch(ONE, "sh", "-c", "echo $PENSTOCK_PORT")))
    record = ended(runtime).exit
    assert record is not None
    assert record.reason is ExitReason.COMPLETED
    assert asyncio.run(runtime.read_log(ONE, 0, 100)) == b"20001\n"
    assert asyncio.run(runtime.forget(ONE))
    assert runtime.folders.ids() == ()
    assert asyncio.run(runtime.sight(ONE)) is None


def test_starting_again_changes_nothing(runtime: ProcessRuntime) -> None:
    asyncio.run(runtime.start(launch()))
    pid = running(runtime)["pid"]
    asyncio.run(runtime.start(launch()))
    assert running(runtime)["pid"] == pid


def test_a_replica_works_in_a_scratch_folder_of_its_own(runtime: ProcessRuntime) -> None:
    asyncio.run(runtime.start(launch(ONE, "sh", "-c", "echo kept > here; pwd")))
    ended(runtime)
    folder = Path(asyncio.run(runtime.read_log(ONE, 0, 1000)).decode().strip())
    assert (folder / "here").read_text() == "kept\n"
    assert folder.is_relative_to(runtime.folders.path(ONE))


def test_what_a_replica_is_given_is_for_its_user_alone(runtime: ProcessRuntime) -> None:
    asyncio.run(runtime.start(launch(ONE, env={"SECRET": "x"})))
    folder = runtime.folders.path(ONE)
    assert folder.stat().st_mode & 0o077 == 0
    assert (folder / files.SPEC).stat().st_mode & 0o077 == 0


def test_another_runtime_on_the_same_folder_adopts(
    runtime: ProcessRuntime, tmp_path: Path, limiter: Limiter
) -> None:
    asyncio.run(runtime.start(launch(ONE, chips=(a_chip(milli=500),))))
    pid = running(runtime)["pid"]
    runtime.note_shipped(ONE, 17)
    runtime.note_result(ONE, {"loss": 2.0})
    later = a_runtime(tmp_path, limiter)
    (kept,) = asyncio.run(later.kept())
    assert (kept.assignment.replica_id, kept.address, kept.token) == (
        ONE,
        "127.0.0.1:20001",
        "token",
    )
    assert (kept.shipped, kept.result) == (17, {"loss": 2.0})
    assert running(later)["pid"] == pid
    assert asyncio.run(later.renew(ONE, boottime_ns() + seconds_ns(99)))
    assert asyncio.run(later.stop(ONE, StopOrder(ExitReason.STOPPED, 1.0, "from the later one")))
    record = ended(later).exit
    assert record is not None
    assert record.message == "from the later one"


def test_a_replica_whose_supervisor_was_killed_is_buried(runtime: ProcessRuntime) -> None:
    script = "setsid sleep 100 & echo $!; exec sleep 100"
    asyncio.run(runtime.start(replace(launch(ONE, "sh", "-c", script), deadline_ns=lasting(5))))
    started = running(runtime)
    wait_for(lambda: asyncio.run(runtime.read_log(ONE, 0, 100)).strip())
    (stray,) = runtime.pids(ONE) - {started["pid"]}
    os.kill(started["supervisor_pid"], signal.SIGKILL)
    record = ended(runtime).exit
    assert record is not None
    assert record.reason is ExitReason.KILLED
    assert "supervisor was killed" in record.message
    assert not is_alive(stray)
    assert not is_alive(started["pid"])


def test_an_end_that_cannot_be_proven_is_not_told_before_the_lease_is_over(tmp_path: Path) -> None:
    alone = a_runtime(tmp_path, Limiter())
    lease = boottime_ns() + seconds_ns(2)
    asyncio.run(
        alone.start(replace(launch(ONE, "sh", "-c", "exec sleep 100"), deadline_ns=lambda: lease))
    )
    os.kill(running(alone)["supervisor_pid"], signal.SIGKILL)
    record = ended(alone).exit
    assert record is not None
    assert boottime_ns() > lease
    assert "cannot tell whether all" in record.message
    remove(alone, ONE)
    alone.tend()


def test_a_supervisor_that_never_came_up_is_told_as_a_failed_start(
    runtime: ProcessRuntime, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    broken = tmp_path / "broken.py"
    broken.write_text("raise SystemExit('no room for a supervisor')")
    monkeypatch.setattr("agents.runtimes.process.runtime.SUPERVISOR", broken)
    asyncio.run(runtime.start(replace(launch(), deadline_ns=lasting(2))))
    record = ended(runtime).exit
    assert record is not None
    assert record.reason is ExitReason.START_FAILED
    assert "no room for a supervisor" in record.message


def test_a_folder_that_cannot_be_made_is_a_failed_start_and_leaves_nothing(
    runtime: ProcessRuntime,
) -> None:
    (runtime.folders.root / ".new-replica_1").write_text("in the way")
    with pytest.raises(StartError, match="could not start"):
        asyncio.run(runtime.start(launch()))
    (runtime.folders.root / ".new-replica_1").unlink(missing_ok=True)
    assert runtime.limiter.strangers(()) == frozenset()


def test_a_record_of_another_boot_is_not_taken_for_a_living_process(
    runtime: ProcessRuntime,
) -> None:
    asyncio.run(runtime.start(launch()))
    started = running(runtime)
    asyncio.run(runtime.stop(ONE, StopOrder(ExitReason.STOPPED, 0.0)))
    ended(runtime)
    folder = runtime.folders.path(ONE)
    (folder / files.EXIT).unlink()
    survivor = {**started, "boot_id": "another", "pid": os.getpid(), "supervisor_pid": os.getpid()}
    files.write_json(str(folder), files.STARTED, survivor)
    record = ended(runtime).exit
    assert record is not None
    assert "the node was restarted" in record.message


def test_groups_of_replicas_that_nobody_knows_are_cleared(runtime: ProcessRuntime) -> None:
    asyncio.run(runtime.start(launch(ONE)))
    running(runtime)
    stranger = [it.group(ReplicaId("replica_gone")) for it in runtime.limiter.hierarchies]
    for group in stranger:
        group.mkdir()
    runtime.tend()
    assert not any(group.exists() for group in stranger)
    assert running(runtime)


def test_the_replicas_processes_are_known(runtime: ProcessRuntime) -> None:
    asyncio.run(runtime.start(launch(ONE, "sh", "-c", "sleep 100 & wait")))
    started = running(runtime)
    wait_for(lambda: len(runtime.pids(ONE)) == 2)
    assert started["pid"] in runtime.pids(ONE)


def test_an_agent_that_died_before_it_started_a_supervisor_starts_it_next_time(
    runtime: ProcessRuntime, tmp_path: Path, limiter: Limiter
) -> None:
    one = launch(ONE, "true")
    runtime.folders.make(one, runtime._spec(one))
    later = a_runtime(tmp_path, limiter)
    assert asyncio.run(later.kept()) == ()
    asyncio.run(later.start(one))
    record = ended(later).exit
    assert record is not None
    assert record.reason is ExitReason.COMPLETED
    for parent in later._parents:
        parent.wait(10)
