"""Who writes next: first come first served, light writes first, nobody waits for ever."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import pytest

from control_plane.deadlines import Deadline
from control_plane.errors import Unavailable
from control_plane.store.database import turns
from control_plane.store.database.turns import LIGHT_IN_A_ROW, Seats, WriterQueue

Work = Callable[..., Future[None]]


@pytest.fixture
def threads() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(32) as pool:
        yield pool


def soon() -> Deadline:
    return Deadline.after(0.02)


def in_time() -> Deadline:
    return Deadline.after(10)


class Line:
    """Writers of a queue that note when they had their turn; each is in line once it is asked."""

    def __init__(self, queue: WriterQueue, pool: ThreadPoolExecutor) -> None:
        self.served: list[str] = []
        self._queue = queue
        self._pool = pool

    def ask(self, name: str, *, light: bool = False) -> Future[None]:
        waiting = self._queue._light if light else self._queue._heavy
        before = len(waiting)
        asked = self._pool.submit(self._write, name, light)
        while len(waiting) == before:
            threading.Event().wait(0.001)
        return asked

    def _write(self, name: str, light: bool) -> None:
        with self._queue.turn(in_time(), light=light):
            self.served.append(name)


def test_writers_follow_in_the_order_of_asking(threads: ThreadPoolExecutor) -> None:
    queue = WriterQueue()
    line = Line(queue, threads)
    with queue.turn(in_time()):
        asked = [line.ask(str(number)) for number in range(20)]
    for one in asked:
        one.result(10)
    assert line.served == [str(number) for number in range(20)]


def test_light_writes_go_first_and_keep_nobody_out(threads: ThreadPoolExecutor) -> None:
    queue = WriterQueue()
    line = Line(queue, threads)
    with queue.turn(in_time()):
        asked = [line.ask(name) for name in ("one", "two")]
        asked += [line.ask("beat", light=True) for _ in range(LIGHT_IN_A_ROW + 3)]
    for one in asked:
        one.result(10)
    beats = ["beat"] * LIGHT_IN_A_ROW
    assert line.served == [*beats, "one", *["beat"] * 3, "two"]


def test_who_waits_too_long_is_refused_and_costs_nobody_a_turn(threads: ThreadPoolExecutor) -> None:
    queue = WriterQueue()
    line = Line(queue, threads)
    with queue.turn(in_time()):
        with pytest.raises(Unavailable) as refused, queue.turn(soon()):
            pytest.fail("it is taken")
        after = line.ask("after")
    after.result(10)
    assert refused.value.code == "busy"
    assert line.served == ["after"]


def test_beyond_the_bound_one_is_refused_at_once_but_for_loops(threads: ThreadPoolExecutor) -> None:
    queue = WriterQueue(most_waiting=2)
    line = Line(queue, threads)
    with queue.turn(in_time()):
        asked = [line.ask("a"), line.ask("b")]
        with pytest.raises(Unavailable), queue.turn(Deadline.after(600)):
            pytest.fail("two wait already")
        with pytest.raises(Unavailable), queue.turn(soon(), patient=True):
            pytest.fail("it waited, and its deadline came")
    for one in asked:
        one.result(10)
    assert line.served == ["a", "b"]


def test_a_turn_is_given_back_whatever_happens_in_it() -> None:
    queue = WriterQueue()
    for _ in range(3):
        with pytest.raises(ZeroDivisionError), queue.turn(soon()):
            raise ZeroDivisionError
    with queue.turn(soon()):
        pass


def test_a_lane_that_is_full_refuses_after_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(turns, "SEAT_S", 0.01)
    lane = Seats(1)
    with lane.seat(), pytest.raises(Unavailable), lane.seat():
        pytest.fail("there is one seat")
    with lane.seat():
        pass
