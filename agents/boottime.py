"""The node's own clock for leases and durations: it never steps and, on Linux, counts sleep.

Standard library only, since every replica's supervisor imports it.
"""

from __future__ import annotations

import time

SECOND_NS = 1_000_000_000
_CLOCK = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


def boottime_ns() -> int:
    """Nanoseconds since some fixed moment; where the system has no boot clock, without sleep."""
    return time.clock_gettime_ns(_CLOCK)


def seconds_ns(seconds: float) -> int:
    """Whole nanoseconds of a duration in seconds."""
    return int(seconds * SECOND_NS)
