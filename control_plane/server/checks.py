"""Reads and checks documents away from the event loop, so much at a time as leaves it room.

Small ones are checked where they arrive. Longer ones take a thread, one after another; of bodies
above 64 KiB each caller has one in work and a budget of checking time, which is refilled slowly.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final, TypeVar

import anyio
from anyio import CapacityLimiter

from control_plane.errors import QuotaExceeded

SMALL_BYTES: Final = 2 * 1024
LARGE_BYTES: Final = 64 * 1024
BUDGET_S: Final = 1.0
REFILL: Final = 0.25
"""Seconds of checking that a caller wins back each second."""
LEAST_COST_S: Final = 0.05
"""What a large body costs at least: so are twenty at once, and five each second."""
MAX_WAITING: Final = 4
MAX_CALLERS: Final = 10_000
Checked = TypeVar("Checked")


@dataclass(slots=True)
class _Caller:
    budget_s: float
    seen_at: float
    lock: anyio.Lock = field(default_factory=anyio.Lock)
    waiting: int = 0


class Checks:
    """One per process."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._thread = CapacityLimiter(1)
        self._callers: dict[str, _Caller] = {}

    def admit(self, owner: str, num_bytes: int) -> None:
        """Raises QuotaExceeded where a body of that length would not be checked now."""
        if num_bytes > LARGE_BYTES:
            self._require_budget(self._caller(owner))

    async def run(
        self, owner: str, num_bytes: int, check: Callable[[], Checked], least_cost_s: float
    ) -> Checked:
        """What `check` returns or raises. Raises QuotaExceeded."""
        if num_bytes <= SMALL_BYTES:
            return check()
        if num_bytes <= LARGE_BYTES:
            return await anyio.to_thread.run_sync(check, limiter=self._thread)
        caller = self._caller(owner)
        with self._waiting(caller):
            async with caller.lock:
                self._require_budget(caller)
                cost = _Cost(least_cost_s)
                try:
                    return await anyio.to_thread.run_sync(cost.of, check, limiter=self._thread)
                finally:
                    caller.budget_s -= max(cost.took_s, least_cost_s)

    @contextmanager
    def _waiting(self, caller: _Caller) -> Iterator[None]:
        if caller.waiting >= MAX_WAITING:
            raise _too_many(1)
        caller.waiting += 1
        try:
            yield
        finally:
            caller.waiting -= 1

    def _caller(self, owner: str) -> _Caller:
        now = self._clock()
        if len(self._callers) >= MAX_CALLERS:
            self._callers = {key: one for key, one in self._callers.items() if one.waiting}
        caller = self._callers.setdefault(owner, _Caller(BUDGET_S, now))
        caller.budget_s = min(BUDGET_S, caller.budget_s + REFILL * (now - caller.seen_at))
        caller.seen_at = now
        return caller

    def _require_budget(self, caller: _Caller) -> None:
        if caller.budget_s <= 0:
            raise _too_many(math.ceil((LEAST_COST_S - caller.budget_s) / REFILL))


@dataclass(slots=True)
class _Cost:
    """Measures the processor time of one check."""

    took_s: float

    def of(self, check: Callable[[], Checked]) -> Checked:
        started = time.thread_time()
        try:
            return check()
        finally:
            self.took_s = time.thread_time() - started


def _too_many(retry_after_s: int) -> QuotaExceeded:
    return QuotaExceeded("too_many_large_bodies", after_s=retry_after_s, most=LARGE_BYTES)
