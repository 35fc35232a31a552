"""The server's parent: whom it replaces, whom it leaves alone, and how it ends.

A small program stands for the server, with limits of a second; the real ones are in tests/e2e.
"""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from control_plane.server import beats
from tests.e2e.processes import eventually

pytestmark = pytest.mark.integration
longer = pytest.mark.slow_safety

PROGRAM = """
import os, signal, sys, time
from control_plane.server import watchdog
watchdog.FIRST_PAUSE_S, watchdog.FROZEN_S, watchdog.START_S = map(float, sys.argv[1:])
watchdog.UNHEARD_S = 3 * watchdog.FROZEN_S
watchdog._TICK_S, watchdog._MOST_OF_A_TICK_S = 0.05, 0.2
to_beat = watchdog.watched()
sys.stdout.write(f"{os.getpid()}\\n")
sys.stdout.flush()
def beat(seconds=0.0):
    until = time.monotonic() + seconds
    while os.write(to_beat, b".") and time.monotonic() < until:
        time.sleep(0.05)
is_first = not os.path.exists("first")
open("first", "a").close()
"""
LATER = "if not is_first: sys.exit(2)\n"


class Watched:
    """The program's two processes; the ids of its children so far are its standard output."""

    def __init__(self, folder: Path, body: str, *limits_s: float) -> None:
        self.out, self.err = folder / "out", folder / "err"
        with self.out.open("wb") as out, self.err.open("wb") as err:
            self.parent = psutil.Popen(
                [sys.executable, "-c", PROGRAM + body, *map(str, limits_s)],
                stdout=out,
                stderr=err,
                cwd=folder,
                env={**os.environ, "PYTHONPATH": os.getcwd()},
                start_new_session=True,
            )

    @property
    def children(self) -> list[int]:
        return [int(line) for line in self.out.read_text().split()]

    @property
    def log(self) -> str:
        return self.err.read_text()

    def child(self, number: int = 1) -> psutil.Process:
        """The child that was started as the n-th."""
        eventually(lambda: len(self.children) >= number, f"child {number} is started", 10)
        return psutil.Process(self.children[number - 1])

    def code(self) -> int:
        return int(self.parent.wait(15))


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Watched]]:
    made: list[Watched] = []

    def run(
        body: str, pause_s: float = 0.05, frozen_s: float = 0.5, start_s: float = 5.0
    ) -> Watched:
        made.append(Watched(tmp_path, body, pause_s, frozen_s, start_s))
        return made[-1]

    yield run
    for one in made:
        if one.parent.is_running():
            os.killpg(one.parent.pid, signal.SIGKILL)
            one.parent.wait(5)


@pytest.mark.parametrize("code", [0, 1, 2])
def test_a_server_that_never_was_well_ends_its_parent_with_its_code(
    start: Callable[..., Watched], code: int
) -> None:
    watched = start(f"sys.exit({code})")
    assert watched.code() == code
    assert (len(watched.children), watched.log) == (1, "")


def test_one_that_is_killed_before_it_was_well_is_given_up(start: Callable[..., Watched]) -> None:
    watched = start("os.kill(os.getpid(), signal.SIGKILL)")
    assert watched.code() == 128 + signal.SIGKILL
    assert watched.log == "penstock: SIGKILL ended the server before it was ready: given up\n"


def test_a_start_that_hangs_is_ended_and_given_up(start: Callable[..., Watched]) -> None:
    watched = start("time.sleep(60)", start_s=1.0)
    assert watched.code() == 128 + signal.SIGKILL
    assert '"event": "server_start_hangs"' in watched.log
    assert watched.log.endswith("SIGKILL ended the server before it was ready: given up\n")


@pytest.mark.parametrize(
    "fault,event",
    [
        ("os.kill(os.getpid(), signal.SIGSTOP)", "server_frozen"),
        pytest.param("time.sleep(60)", "server_frozen", marks=longer),
        pytest.param("while True: pass", "server_frozen", marks=longer),
        pytest.param("os.close(to_beat); time.sleep(60)", "server_frozen", marks=longer),
        ("os.kill(os.getpid(), signal.SIGKILL)", "server_ended"),
        ("sys.exit(1)", "server_ended"),
    ],
)
def test_a_server_that_was_well_is_replaced_until_it_is_refused(
    start: Callable[..., Watched], fault: str, event: str
) -> None:
    watched = start(f"{LATER}beat()\n{fault}")
    assert watched.code() == 2
    assert len(watched.children) == 2
    assert f'"event": "{event}"' in watched.log


def test_one_that_computes_without_a_word_is_given_more_time(start: Callable[..., Watched]) -> None:
    """On a machine that is merely slow."""
    watched = start(
        "beat()\nuntil = time.monotonic() + 1.0\nwhile time.monotonic() < until: pass\nbeat(60)"
    )
    child = watched.child()
    time.sleep(1.5)
    assert child.is_running()
    assert (len(watched.children), watched.log) == (1, "")


@longer
def test_a_replacement_that_does_not_start_is_tried_again(start: Callable[..., Watched]) -> None:
    watched = start(
        "if is_first: beat(); sys.exit(1)\n"
        "if os.path.exists('second'): sys.exit(2)\n"
        "open('second', 'x').close(); time.sleep(60)",
        start_s=1.0,
    )
    assert watched.code() == 2
    assert len(watched.children) == 3


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_end_is_passed_on_and_the_parent_ends_by_the_same_signal(
    start: Callable[..., Watched], number: signal.Signals
) -> None:
    watched = start("beat(60)")
    child = watched.child()
    watched.parent.send_signal(number)
    assert watched.code() == -number
    assert not child.is_running()
    assert watched.log == ""


def test_a_code_at_the_end_is_the_parents(start: Callable[..., Watched]) -> None:
    watched = start("signal.signal(signal.SIGTERM, lambda *_: sys.exit(7))\nbeat(60)")
    watched.child()
    time.sleep(0.1)
    watched.parent.send_signal(signal.SIGTERM)
    assert watched.code() == 7


def test_a_child_that_is_told_to_end_is_not_replaced(start: Callable[..., Watched]) -> None:
    watched = start("beat(60)")
    watched.child().terminate()
    assert watched.code() == -signal.SIGTERM


@pytest.mark.parametrize(
    "body", ["beat(); os.kill(os.getpid(), signal.SIGSTOP)", pytest.param("beat(60)", marks=longer)]
)
def test_one_that_does_not_end_when_told_is_killed(
    start: Callable[..., Watched], body: str
) -> None:
    deaf = "signal.signal(signal.SIGTERM, lambda *_: time.sleep(60))\n"
    watched = start(deaf + body)
    child = watched.child()
    time.sleep(0.1)
    watched.parent.send_signal(signal.SIGTERM)
    assert watched.code() == -signal.SIGTERM
    assert not child.is_running()


def test_a_parent_that_is_told_to_end_between_two_servers_ends(
    start: Callable[..., Watched],
) -> None:
    watched = start("beat(); sys.exit(1)", pause_s=60)
    eventually(lambda: '"again_in_s": 60' in watched.log, "the first one has ended", 10)
    watched.parent.send_signal(signal.SIGTERM)
    began = time.monotonic()
    assert watched.code() == -signal.SIGTERM
    assert time.monotonic() - began < 5
    assert len(watched.children) == 1


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere it ends with its next beat")
def test_a_server_ends_with_its_parent(start: Callable[..., Watched]) -> None:
    watched = start("beat(); time.sleep(60)")
    child = watched.child()
    watched.parent.kill()
    eventually(lambda: not child.is_running() or child.status() == "zombie", "it has ended", 5)


@pytest.mark.parametrize(
    "both", [pytest.param(True, id="both"), pytest.param(False, marks=longer, id="parent")]
)
def test_a_parent_that_was_frozen_itself_leaves_a_healthy_server_alone(
    start: Callable[..., Watched], both: bool
) -> None:
    watched = start("beat(60)", frozen_s=1.0)
    child = watched.child()
    frozen = (child, watched.parent) if both else (watched.parent,)
    for process in frozen:
        process.suspend()
    time.sleep(1.5)  # longer than a server may be frozen
    for process in reversed(frozen):
        process.resume()
    time.sleep(1.2)
    assert child.is_running()
    assert (len(watched.children), watched.log) == (1, "")


def test_beats_come_as_long_as_the_loop_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(beats, "BEAT_S", 0.01)
    told, to_beat = os.pipe()
    os.set_blocking(told, False)
    blocked, go_on = threading.Event(), threading.Event()

    def block() -> None:
        blocked.set()
        go_on.wait(10)

    def num_beats() -> int:
        try:
            return len(os.read(told, 4096))
        except BlockingIOError:
            return 0

    async def serve() -> None:
        loop = asyncio.get_running_loop()
        beats.beat(to_beat, loop)
        await asyncio.to_thread(eventually, num_beats, "it beats", 5)
        loop.call_soon(block)
        await asyncio.to_thread(eventually, num_beats, "it beats again", 5)

    loop = threading.Thread(target=asyncio.run, args=(serve(),))
    loop.start()
    assert blocked.wait(10)
    time.sleep(0.1)
    num_beats()
    time.sleep(0.2)
    assert num_beats() == 0
    go_on.set()
    loop.join(10)
    eventually(lambda: "beats" not in {it.name for it in threading.enumerate()}, "its thread ends")
    os.close(told)
    os.close(to_beat)


def test_a_server_whose_parent_is_gone_ends_with_its_next_beat() -> None:
    program = (
        "import asyncio, os; from control_plane.server import beats; told, to_beat = os.pipe();"
        "os.close(told); loop = asyncio.new_event_loop(); beats.beat(to_beat, loop);"
        "loop.run_forever()"
    )
    done = subprocess.run([sys.executable, "-c", program], timeout=30, check=False)
    assert done.returncode == -signal.SIGKILL
