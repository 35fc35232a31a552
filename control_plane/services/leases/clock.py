"""Moves the lease clock on, by the leader's monotonic time and by no other.

Who reads the clock at `t` sees at `t'` at most `t' − t + MAX_STEP_S + COMMIT_S` more, whatever
froze, crashed or stepped meanwhile. That is less than the margins of any lease (`domain/lease.py`).
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import Final

from control_plane.services.deps import Deps
from control_plane.services.scheduling.lead import SCHEDULER
from control_plane.store.unit_of_work import Transaction

TICK_S: Final = 1.0
IDLE_TICK_S: Final = 3.0
"""While nothing is held and nothing backs off: a cloud at rest writes little."""
MAX_STEP_S: Final = 4.0
COMMIT_S: Final = 0.5
"""A tick that takes longer to commit does not count the rest: readers saw the old time as long."""


@dataclass(slots=True)
class LeaseTicker:
    """Of one process. Time without a leader, or in which it was frozen, does not count."""

    deps: Deps
    monotonic: Callable[[], float] = time.monotonic
    _epoch: int | None = None
    _counted_to: float = 0.0

    def tick(self, epoch: int | None) -> None:
        """As the leader of this epoch; None: somebody else leads. Counts from the first call on."""
        if epoch is None or epoch != self._epoch:
            self._epoch, self._counted_to = epoch, self.monotonic()
            return
        if not self._is_due():
            return
        self._epoch = None  # a commit of which nobody knows whether it came through is not repeated
        counted = self.deps.run(partial(self._advance, epoch=epoch), serial=False)
        if counted is not None:
            self._epoch, self._counted_to = epoch, max(counted, self.monotonic() - COMMIT_S)

    def _is_due(self) -> bool:
        if self.monotonic() - self._counted_to >= IDLE_TICK_S:
            return True
        with self.deps.store.read() as tx:
            return tx.lease_clock.is_needed()

    def _advance(self, tx: Transaction, epoch: int) -> float | None:
        """Up to when it counted; None once the epoch is over."""
        at = tx.lease_clock.lock(SCHEDULER, epoch)
        if at is None:
            return None
        now = self.monotonic()
        tx.lease_clock.set(at + timedelta(seconds=min(now - self._counted_to, MAX_STEP_S)))
        return now
