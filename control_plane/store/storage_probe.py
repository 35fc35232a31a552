"""Finds out whether the storage takes writes: seldom, and without waiting for one that hangs.

What is written is the log store's; who is told is the readers' of health.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Final

from penstock.api.health import Part

WAIT_S: Final = 2.0
REMEMBER_S: Final = 5.0
WELL: Final = Part(ok=True, message="takes writes")


class StorageProbe:
    """Remembers what it found for some seconds. At most one write is under way, however long."""

    def __init__(self, wait_s: float = WAIT_S, remember_s: float = REMEMBER_S) -> None:
        self._wait_s = wait_s
        self._remember_s = remember_s
        self._lock = threading.Lock()
        self._last: _Try | None = None

    def look(self, write: Callable[[], None]) -> Part:
        """How the storage is. `write` raises OSError where it is not well."""
        with self._lock:
            if self._last is None or self._last.ended_before(time.monotonic() - self._remember_s):
                self._last = _Try(write)
            last = self._last
        return last.found(self._wait_s)


class _Try:
    """One write, in a thread of its own."""

    def __init__(self, write: Callable[[], None]) -> None:
        self._write = write
        self._began_s = time.monotonic()
        self._ended_s: float | None = None
        self._part = Part(ok=False, message="could not be tried")
        self._ended = threading.Event()
        try:
            threading.Thread(target=self._run, name="storage-probe", daemon=True).start()
        except RuntimeError:  # no thread to be had now: not known to be well
            self._end()

    def ended_before(self, moment_s: float) -> bool:
        return self._ended_s is not None and self._ended_s < moment_s

    def found(self, wait_s: float) -> Part:
        """What came out, or that nothing has within so long since the beginning."""
        if self._ended.wait(max(0.0, self._began_s + wait_s - time.monotonic())):
            return self._part
        waited_s = time.monotonic() - self._began_s
        return Part(ok=False, message=f"has not finished a write for {waited_s:.0f} s")

    def _run(self) -> None:
        try:
            self._write()
            self._part = WELL
        except OSError as error:
            why = (error.strerror or type(error).__name__).lower()
            self._part = Part(ok=False, message=f"takes no writes: {why}")
        finally:
            self._end()

    def _end(self) -> None:
        self._ended_s = time.monotonic()
        self._ended.set()
