"""Waiting in tests for what other threads and processes do."""

from __future__ import annotations

import time
from collections.abc import Callable


def until(true: Callable[[], bool], within_s: float = 15.0) -> None:
    """Returns as soon as it is true; fails when it did not become so in time."""
    deadline = time.monotonic() + within_s
    while not true():
        assert time.monotonic() < deadline, f"it did not happen within {within_s} s"
        time.sleep(0.01)
