"""Threads that must not end: one that fails is run again, later each time, and the log says so.
And threads for one call that may hang, so that whoever asked can stop waiting.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

import structlog

from control_plane.errors import PlatformError

log = structlog.get_logger()
ResultT = TypeVar("ResultT")

FIRST_PAUSE_S = 0.1
MOST_PAUSE_S = 5.0
CALM_S = 60.0
"""A failure so long after the one before it is a first one again."""


class KeptThread:
    """Runs `work` until it returns by itself, or until `stopping` is set and it has ended."""

    def __init__(self, name: str, work: Callable[[], None], stopping: threading.Event) -> None:
        self._work = work
        self._stopping = stopping
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        self._thread.start()

    def join(self, timeout_s: float) -> None:
        """Waits for it to end; one that was never started has."""
        if self._thread.ident is not None:
            self._thread.join(timeout_s)

    def _run(self) -> None:
        pause_s = FIRST_PAUSE_S
        while not self._stopping.is_set():
            began = time.monotonic()
            try:
                self._work()
            except BaseException:  # process loop: nobody else would notice that it is gone
                log.exception("thread_failed", thread=self._thread.name)
            else:
                return
            if time.monotonic() - began > CALM_S:
                pause_s = FIRST_PAUSE_S
            self._stopping.wait(pause_s)
            pause_s = min(2 * pause_s, MOST_PAUSE_S)


def in_thread(name: str, work: Callable[[], ResultT]) -> Future[ResultT]:
    """The call under way, in a thread of its own which ends with the process. Raises RuntimeError
    where no thread is to be had.
    """
    call: Future[ResultT] = Future()
    threading.Thread(target=_settle, args=(call, work), name=name, daemon=True).start()
    return call


def _settle(call: Future[ResultT], work: Callable[[], ResultT]) -> None:
    try:
        call.set_result(work())
    except (OSError, RuntimeError, ValueError, PlatformError) as error:
        call.set_exception(error)
    finally:
        if not call.done():  # of some other kind, which the thread's end logs
            call.set_exception(RuntimeError("the call failed; the log says how"))
