"""A replica in a PID namespace of its own: it reaches nobody, and ends whole."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from agents.runtimes.process import isolation
from agents.runtimes.process.supervisor import processes
from penstock.api.states import ExitReason
from tests.integration.agents.supervised import Supervised, is_alive, wait_for

pytestmark = pytest.mark.integration
Start = Callable[..., Supervised]
STRAY = Path(__file__).with_name("stray.py")


@pytest.fixture(autouse=True)
def _permitted(namespaces: bool) -> None:
    if not namespaces:
        pytest.skip("this machine permits no PID namespaces")


def stray(one: Supervised) -> int:
    """The host's pid of a process that left session, environment and descriptors behind."""
    wait_for((one.folder / "stray").exists)
    init = one.started()["init_pid"]
    return max(processes.descendants(init))


def test_a_replica_sees_and_signals_nobody_but_its_own(supervised: Start) -> None:
    kills = "kill -STOP $PPID; kill -KILL $PPID; kill -KILL -1"
    one = supervised(
        "sh", "-c", f"{{ {kills}; }} 2>/dev/null; echo $PPID; ls /proc | grep '^[0-9]'"
    )
    assert one.ended().reason is ExitReason.COMPLETED
    assert set(map(int, one.log().split())) <= set(range(1, 40))


@pytest.mark.parametrize("number", ["STOP", "KILL", "TERM", "HUP"])
def test_no_signal_reaches_the_parent_and_the_job_ends_in_time(
    supervised: Start, number: str
) -> None:
    script = f"while kill -{number} $PPID; do sleep 0.01; done"
    began = time.monotonic()
    record = supervised("sh", "-c", script, max_duration_s=0.5, stop_grace_s=0.3).ended()
    assert record.reason is ExitReason.TIMEOUT
    assert time.monotonic() - began < 5


def test_a_killed_supervisor_takes_along_what_strayed_far(supervised: Start) -> None:
    one = supervised("sh", "-c", f"{sys.executable} {STRAY} $PWD/stray & exec sleep 100")
    far = stray(one)
    os.kill(one.started()["supervisor_pid"], signal.SIGKILL)
    wait_for(lambda: not is_alive(far))
    wait_for(lambda: not is_alive(one.started()["init_pid"]))


def test_a_killed_init_is_told_as_killed_and_nothing_is_left(supervised: Start) -> None:
    one = supervised("sh", "-c", f"{sys.executable} {STRAY} $PWD/stray & exec sleep 100")
    far = stray(one)
    os.kill(one.started()["init_pid"], signal.SIGKILL)
    assert one.ended().reason is ExitReason.KILLED
    assert not is_alive(far)


def test_daemons_that_go_on_forking_end_with_the_replica(supervised: Start) -> None:
    chain = "import os\nwhile True:\n  if os.fork(): os._exit(0)\n  os.setsid()"
    one = supervised("sh", "-c", f'{sys.executable} -S -c "{chain}" & sleep 0.5; echo over')
    assert one.ended().reason is ExitReason.COMPLETED
    wait_for(lambda: not is_alive(one.started()["init_pid"]))


def test_a_halted_init_is_ended_too(supervised: Start) -> None:
    one = supervised("sleep", "100")
    os.kill(one.started()["init_pid"], signal.SIGSTOP)
    one.tell("stop 3 stopped 200 x")
    assert one.ended().reason is ExitReason.STOPPED


def test_mounts_of_a_replica_stay_its_own(supervised: Start) -> None:
    one = supervised("sh", "-c", "mount -t tmpfs none .; echo ok")
    one.ended()
    mounts = Path("/proc/self/mountinfo").read_text()
    assert str(one.folder) not in mounts


def test_a_node_that_may_not_says_why() -> None:
    assert isolation.detect(wanted=False).describe()["processes"].endswith("agent's settings")
    assert not isolation.NOT_ISOLATED.pid_namespace
