"""The wall clock of the shells. Pure code gets `now` as an argument instead."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Protocol


class Clock(Protocol):
    """Tells the time, aware and in UTC."""

    def now(self) -> datetime: ...


class SystemClock:
    """The machine's clock."""

    def now(self) -> datetime:
        return datetime.now(UTC)


class SharedClock:
    """One time for all processes of a control plane, that of their database, however far their
    machines' own clocks are off: else one process would end leases that another one granted.

    It runs on by the monotonic clock and is set anew every `every_s` seconds, in the background.
    `read` answers None when the database does not. Raises ConnectionError if it does not at first.
    """

    def __init__(
        self,
        read: Callable[[], datetime | None],
        monotonic: Callable[[], float] = time.monotonic,
        every_s: float = 60.0,
    ) -> None:
        self._read = read
        self._monotonic = monotonic
        self._every_s = every_s
        self._setting = threading.Lock()
        first = self._look()
        if first is None:
            raise ConnectionError("the database does not tell the time")
        self._set = first

    def now(self) -> datetime:
        time_read, at = self._set
        passed = self._monotonic() - at
        if passed > self._every_s and self._setting.acquire(blocking=False):
            self._set_anew_apart()
        return time_read + timedelta(seconds=passed)

    def _set_anew_apart(self) -> None:
        try:
            threading.Thread(target=self._set_anew, name="clock", daemon=True).start()
        except RuntimeError:  # no thread to be had now: the next question tries again
            self._setting.release()

    def _set_anew(self) -> None:
        try:
            self._set = self._look() or self._set
        finally:
            self._setting.release()

    def _look(self) -> tuple[datetime, float] | None:
        """The time told, as of the middle of the question."""
        asked = self._monotonic()
        time_read = self._read()
        return None if time_read is None else (time_read, (asked + self._monotonic()) / 2)


class ManualClock:
    """A clock that tests move by hand."""

    def __init__(self, start: datetime) -> None:
        self._now = start

    def now(self) -> datetime:
        return self._now

    def advance(self, seconds: float) -> None:
        self._now += timedelta(seconds=seconds)
