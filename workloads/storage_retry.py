"""How often what the storage refused is tried again, and for how long. What is written is others'.

Waits double from one second to half a minute: a short fault costs little, a long one no load.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, TypeVar

from penstock.backoff import doubled_s
from workloads.failures import os_error_message
from workloads.storage import StorageFault

GIVE_UP_AFTER_S: Final = 60.0
FIRST_WAIT_S: Final = 1.0
LONGEST_WAIT_S: Final = 30.0

ResultT = TypeVar("ResultT")


@dataclass(slots=True)
class Backoff:
    """What was refused in a row, and when it is tried again (monotonic seconds)."""

    num_refused: int = 0
    again_at_s: float = 0.0

    def refused(self, now_s: float) -> float:
        """Counts a refusal; returns how long to wait now."""
        self.num_refused += 1
        wait_s = doubled_s(self.num_refused, FIRST_WAIT_S, LONGEST_WAIT_S)
        self.again_at_s = now_s + wait_s
        return wait_s

    def is_waiting(self, now_s: float) -> bool:
        """Whether something was refused and it is too early to try again."""
        return self.num_refused > 0 and now_s < self.again_at_s

    def is_due(self, now_s: float) -> bool:
        """Whether something was refused and the wait is over."""
        return self.num_refused > 0 and now_s >= self.again_at_s


def retry_storage(
    work: Callable[[], ResultT],
    what: str,
    report: Callable[[str], None],
    *,
    sleep: Callable[[float], None] = time.sleep,
    now: Callable[[], float] = time.monotonic,
) -> ResultT:
    """The result of `work`, tried again while the storage refuses it.

    Raises the last StorageFault once another wait would end after GIVE_UP_AFTER_S.
    """
    backoff, until_s = Backoff(), now() + GIVE_UP_AFTER_S
    while True:
        try:
            return work()
        except StorageFault as error:
            wait_s = backoff.refused(now())
            if backoff.again_at_s > until_s:
                raise
            report(f"{what}: the storage failed ({os_error_message(error)}); again in {wait_s:g} s")
        sleep(wait_s)
