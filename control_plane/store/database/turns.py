"""Who may enter the database now: writers one after another, everybody else by lanes.

Nobody waits longer than a deadline, and no more wait than a bound: who is refused can say so.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from control_plane.deadlines import SEAT_S, WRITERS_WAITING, Deadline
from control_plane.errors import Unavailable

LIGHT_IN_A_ROW: Final = 8
"""So many light writes go before a heavier one that waits: heartbeats never wait for more than
one of those, and they do not keep them out either."""


class WriterQueue:
    """One writes at a time, in the order of asking; light writes, which decide nothing, first."""

    def __init__(self, most_waiting: int = WRITERS_WAITING) -> None:
        self._most_waiting = most_waiting
        self._lock = threading.Lock()
        self._taken = False
        self._light: deque[threading.Event] = deque()
        self._heavy: deque[threading.Event] = deque()
        self._light_in_a_row = 0

    @contextmanager
    def turn(
        self, deadline: Deadline, *, light: bool = False, patient: bool = False
    ) -> Iterator[None]:
        """Waits for the turn, has it, and gives it to the next. Raises Unavailable `busy`: at once
        where the queue is full (never for the `patient`), else at the deadline.
        """
        self._enter(self._light if light else self._heavy, deadline, patient)
        try:
            yield
        finally:
            self._leave()

    def _enter(self, queue: deque[threading.Event], deadline: Deadline, patient: bool) -> None:
        called = threading.Event()
        with self._lock:
            if not self._taken:
                self._taken = True
                return
            if len(queue) >= self._most_waiting and not patient:
                raise busy()
            queue.append(called)
        if called.wait(deadline.left_s):
            return
        with self._lock:
            if called.is_set():
                return  # called in the very moment
            queue.remove(called)
        raise busy()

    def _leave(self) -> None:
        with self._lock:
            queue = self._next()
            if queue is None:
                self._taken, self._light_in_a_row = False, 0
            else:
                self._light_in_a_row = self._light_in_a_row + 1 if queue is self._light else 0
                queue.popleft().set()

    def _next(self) -> deque[threading.Event] | None:
        if self._light and (not self._heavy or self._light_in_a_row < LIGHT_IN_A_ROW):
            return self._light
        return self._heavy or None


class Seats:
    """The connections of one lane: those of others are not taken from it, nor it from them."""

    def __init__(self, num: int) -> None:
        self._free = threading.BoundedSemaphore(num)

    @contextmanager
    def seat(self) -> Iterator[None]:
        """Raises Unavailable `busy` where none gets free in time."""
        if not self._free.acquire(timeout=SEAT_S):
            raise busy()
        try:
            yield
        finally:
            self._free.release()


def busy() -> Unavailable:
    """What is said to whoever does not get in."""
    return Unavailable("busy", what="changes")
