"""What a run cost: processors that the server took, and what else ran on the machine meanwhile."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import psutil

CALM = 0.05
"""Above so many processors taken by others a machine was not calm."""


@dataclass(slots=True)
class Watched:
    """Filled at the end. `server_s`: processor seconds of a process and its children; `others`:
    processors that neither they nor this process took.
    """

    seconds: float = 0.0
    server_s: float = 0.0
    others: float = 0.0

    @property
    def is_calm(self) -> bool:
        return self.others <= CALM


@contextmanager
def watched(pid: int) -> Iterator[Watched]:
    """Measures what runs inside; `pid` is the server's."""
    seen = Watched()
    began, server, own, all_ = time.monotonic(), _spent_s(pid), _own_s(), _busy_s()
    yield seen
    seen.seconds = time.monotonic() - began
    seen.server_s = _spent_s(pid) - server
    seen.others = (_busy_s() - all_ - seen.server_s - (_own_s() - own)) / seen.seconds


def _spent_s(pid: int) -> float:
    tree = [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]
    return sum(it.cpu_times().user + it.cpu_times().system for it in tree)


def _own_s() -> float:
    times = os.times()
    return times.user + times.system


def _busy_s() -> float:
    times = psutil.cpu_times()
    return float(sum(times) - times.idle - times.iowait - times.guest - times.guest_nice)
