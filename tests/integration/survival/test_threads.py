"""Threads that must not end are run again, whatever ended them."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime

import pytest

from control_plane import threads
from control_plane.clock import SharedClock
from control_plane.hints.hub import Hub
from control_plane.hints.redis import RedisHints
from control_plane.store.storage_probe import StorageProbe
from control_plane.threads import KeptThread

pytestmark = pytest.mark.integration


@pytest.mark.parametrize(
    "error",
    [ValueError("x"), OSError(28, "No space left on device"), MemoryError(), RecursionError(),
     SystemExit(0), KeyboardInterrupt(), GeneratorExit()],
    ids=repr,
)  # fmt: skip
def test_a_thread_that_fails_is_run_again(error: BaseException) -> None:
    stopping, done, runs = threading.Event(), threading.Event(), [error, error]

    def work() -> None:
        if runs:
            raise runs.pop()
        done.set()
        stopping.wait()

    thread = KeptThread("test", work, stopping)
    thread.start()
    assert done.wait(2.0)
    stopping.set()
    thread.join(2.0)


def test_work_that_returns_has_ended_and_a_told_end_ends_the_pause() -> None:
    stopping, runs = threading.Event(), []
    thread = KeptThread("test", lambda: runs.append(1), stopping)
    thread.start()
    thread.join(2.0)
    assert runs == [1]

    def fails() -> None:
        raise ValueError("x")

    failing = KeptThread("test", fails, stopping)
    failing.start()
    time.sleep(0.02)
    stopping.set()
    began = time.monotonic()
    failing.join(2.0)
    assert time.monotonic() - began < 1.0


def test_pauses_grow_so_that_a_lasting_fault_costs_little(monkeypatch: pytest.MonkeyPatch) -> None:
    runs: list[float] = []
    stopping = threading.Event()

    def fails() -> None:
        runs.append(time.monotonic())
        raise ValueError("x")

    monkeypatch.setattr(threads, "FIRST_PAUSE_S", 0.02)
    thread = KeptThread("test", fails, stopping)
    thread.start()
    time.sleep(0.5)
    stopping.set()
    thread.join(2.0)
    assert 3 <= len(runs) <= 6


def _no_thread(_self: threading.Thread) -> None:
    raise RuntimeError("can't start new thread")


def test_without_a_thread_the_clock_goes_on_and_is_set_later(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[int] = []

    def read() -> datetime:
        asked.append(1)
        return datetime(2026, 1, 5, tzinfo=UTC)

    clock = SharedClock(read, every_s=0.0)
    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", _no_thread)
        clock.now()
        clock.now()
    clock.now()
    assert _within(2.0, lambda: len(asked) == 2)


def test_without_a_thread_the_storage_is_not_known_to_be_well(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    probe = StorageProbe(remember_s=0.0)
    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", _no_thread)
        assert not probe.look(lambda: None).ok
    assert probe.look(lambda: None).ok


def test_hints_outlive_an_error_that_redis_does_not_name(monkeypatch: pytest.MonkeyPatch) -> None:
    hints = RedisHints("redis://127.0.0.1:1/0", Hub())
    calls: list[str] = []

    def broken(*_: object, **__: object) -> None:
        calls.append("x")
        raise UnicodeDecodeError("utf-8", b"\xff", 0, 1, "not ours")

    monkeypatch.setattr(hints, "_listen", broken)
    monkeypatch.setattr(hints._redis, "publish", broken)
    hints.start()
    for _ in range(100):
        hints._publish("cycle")
    assert _within(3.0, lambda: len(calls) >= 4)
    hints.stop()


def _within(timeout_s: float, true: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + timeout_s
    while not true():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True
