"""The thread that moves the lease clock on while its process leads; a long cycle stops it not."""

from __future__ import annotations

import threading
from collections.abc import Callable

from control_plane.services.deps import Deps
from control_plane.services.leases.clock import TICK_S, LeaseTicker
from control_plane.threads import KeptThread


class ClockThread:
    """`epoch` says under which epoch this process leads, or None."""

    def __init__(self, deps: Deps, epoch: Callable[[], int | None]) -> None:
        self._ticker = LeaseTicker(deps)
        self._epoch = epoch
        self._stopping = threading.Event()
        self._thread = KeptThread("lease-clock", self._run, self._stopping)

    def start(self) -> None:
        self._thread.start()

    def stop(self, timeout_s: float = 10.0) -> None:
        self._stopping.set()
        self._thread.join(timeout_s)

    def _run(self) -> None:
        while not self._stopping.wait(TICK_S):
            self._ticker.tick(self._epoch())
