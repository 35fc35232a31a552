"""Who may enter the database now: writers one after another, everybody else by lanes.

Nobody waits longer than a deadline, and no more wait than a bound: who is refused can say so.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from control_plane.deadlines import SEAT_S, WRITERS_WAITING, Deadline
from control_plane.errors import Unavailable

if TYPE_CHECKING:
    from control_plane.store.database.combined import Work

LIGHT_IN_A_ROW: Final = 8
"""So many light writes go before a heavier one that waits: heartbeats never wait for more than
one of those, and they do not keep them out either."""


@dataclass(eq=False, slots=True)
class Waiter:
    """Somebody in the queue. `work` is what whoever has the turn may do for them; the patient do
    not count.
    """

    work: Work[Any] | None = None
    is_patient: bool = False
    called: threading.Event = field(default_factory=threading.Event)
    is_taken: bool = False

    @property
    def asked(self) -> Work[Any]:
        assert self.work is not None
        return self.work


class WriterQueue:
    """One writes at a time, in the order of asking; light writes, which decide nothing, first."""

    def __init__(self, most_waiting: int = WRITERS_WAITING) -> None:
        self._most_waiting = most_waiting
        self._lock = threading.Lock()
        self._taken = False
        self._light: deque[Waiter] = deque()
        self._heavy: deque[Waiter] = deque()
        self._light_in_a_row = 0

    @property
    def num_waiting(self) -> int:
        return len(self._light) + len(self._heavy)

    @contextmanager
    def turn(
        self,
        deadline: Deadline,
        *,
        light: bool = False,
        patient: bool = False,
        work: Work[Any] | None = None,
    ) -> Iterator[bool]:
        """Waits for the turn, has it, and gives it to the next. False where whoever had it before
        has done the work. Raises Unavailable `busy`: at once where the queue is full (never for
        the `patient`), else at the deadline.
        """
        me = Waiter(work, patient)
        self._enter(me, self._light if light else self._heavy, deadline)
        if me.is_taken:
            yield False
            return
        try:
            yield True
        finally:
            self._leave()

    def take(self) -> Waiter | None:
        """For whoever has the turn: the next of the queue, if its work may be done for it. It has
        to be `called` in the end.
        """
        with self._lock:
            if not self._heavy or self._heavy[0].work is None:
                return None
            taken = self._heavy.popleft()
            taken.is_taken = True
            return taken

    def _enter(self, me: Waiter, queue: deque[Waiter], deadline: Deadline) -> None:
        with self._lock:
            if not self._taken:
                self._taken = True
                return
            num_waiting = sum(not it.is_patient for it in queue)
            if num_waiting >= self._most_waiting and not me.is_patient:
                raise busy()
            queue.append(me)
        if me.called.wait(deadline.left_s):
            return
        with self._lock:
            is_called = me.called.is_set()  # in the very moment
            if not is_called and not me.is_taken:
                queue.remove(me)
                raise busy()
        me.called.wait()

    def _leave(self) -> None:
        with self._lock:
            queue = self._next()
            if queue is None:
                self._taken, self._light_in_a_row = False, 0
            else:
                self._light_in_a_row = self._light_in_a_row + 1 if queue is self._light else 0
                queue.popleft().called.set()

    def _next(self) -> deque[Waiter] | None:
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
