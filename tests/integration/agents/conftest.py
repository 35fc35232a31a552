"""Real supervisors and runtimes in a temporary state folder; nothing of them is left behind."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from agents.runtimes.process.isolation import detect
from agents.runtimes.process.supervisor import processes
from tests.integration.agents.supervised import Supervised


@pytest.fixture(scope="session")
def namespaces() -> bool:
    """Whether this machine permits PID namespaces."""
    return detect().pid_namespace


@pytest.fixture
def supervised(tmp_path: Path, namespaces: bool) -> Iterator[Callable[..., Supervised]]:
    """Starts supervisors; whatever is left of them is killed at the end, and is then a failure.

    Where PID namespaces are permitted replicas have them, as an agent's do.
    """
    if sys.platform != "linux":
        pytest.skip("supervisors promise less where the system is not Linux")
    made: list[Supervised] = []

    def start(*argv: str, **spec: object) -> Supervised:
        given = {"pid_namespace": namespaces, **spec}
        one = Supervised(tmp_path / f"replica_{len(made)}", argv, given)
        made.append(one)
        return one

    yield start
    left = [pid for one in made for pid in _left(one)]
    with suppress(ProcessLookupError):
        for pid in left:
            os.kill(pid, signal.SIGKILL)
    assert not left


def _left(one: Supervised) -> list[int]:
    """Processes of a replica whose exit record is written, after a moment to go."""
    if one.exit_record() is None and one.supervisor_pid() is None:
        return []
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline and one.supervisor_pid() is not None:
        time.sleep(0.01)
    supervisor = one.supervisor_pid()
    return [] if supervisor is None else [*processes.descendants(supervisor), supervisor]
