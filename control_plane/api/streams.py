"""Bounds how many event streams are open, and ends them all when the server stops."""

from __future__ import annotations

import asyncio
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from control_plane.errors import QuotaExceeded, Unavailable
from control_plane.hints.hub import Hub

MAX_PER_TOKEN: Final = 128
MAX_IN_ALL: Final = 2000
CLOSING: Final = "closing"


class Streams:
    """One per process. Waiting takes no thread and no database session."""

    def __init__(self, hub: Hub) -> None:
        self.hub = hub
        self.closing = False
        self._open: Counter[str] = Counter()

    def check_room(self, owner: str) -> None:
        """Raises QuotaExceeded before a stream is begun, Unavailable once the server stops."""
        if self.closing:
            raise Unavailable("stopping")
        if self._open[owner] >= MAX_PER_TOKEN or self._open.total() >= MAX_IN_ALL:
            raise QuotaExceeded("too_many_streams", open=self._open[owner])

    @contextmanager
    def opened(self, owner: str) -> Iterator[None]:
        """Counts a stream while it runs."""
        self._open[owner] += 1
        try:
            yield
        finally:
            self._open[owner] -= 1
            if self._open[owner] <= 0:
                del self._open[owner]

    def close(self) -> None:
        """Ends every stream and long poll at once. Safe in a signal handler: the hub's lock may
        be held by the very code that the signal interrupted, so another thread takes it.
        """
        self.closing = True
        threading.Thread(target=self.hub.deliver, args=(CLOSING,), daemon=True).start()


async def wait_for(woken: asyncio.Event, seconds: float) -> None:
    """Returns when woken, or after that long."""
    if seconds <= 0:
        return
    try:
        async with asyncio.timeout(seconds):
            await woken.wait()
    except TimeoutError:
        return
