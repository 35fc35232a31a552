"""The server's side of its watchdog: it beats as long as its event loop answers."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
import time
from functools import partial

from control_plane.deadlines import BEAT_S
from control_plane.threads import KeptThread


def beat(descriptor: int, loop: asyncio.AbstractEventLoop) -> None:
    """Starts the thread that asks the loop and tells the parent, until the process ends."""
    KeptThread("beats", partial(_beat, descriptor, loop), threading.Event()).start()


def _beat(descriptor: int, loop: asyncio.AbstractEventLoop) -> None:
    while True:
        answered = threading.Event()
        try:
            loop.call_soon_threadsafe(answered.set)
        except RuntimeError:
            return  # it is closed: the process is ending
        while not answered.wait(BEAT_S):
            if loop.is_closed():
                return
        try:
            os.write(descriptor, b".")
        except BlockingIOError:
            pass  # the parent is halted, and has enough to read
        except BrokenPipeError:
            os.kill(os.getpid(), signal.SIGKILL)  # where the system does not do it for us
        time.sleep(BEAT_S)
