"""Every way in which a replica can end has one reason."""

from __future__ import annotations

import signal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.runtimes.process.supervisor.ending import (
    Ending,
    Stop,
    classify,
    code_and_signal,
    record,
)
from penstock.api.assignments import ExitRecord
from penstock.api.states import ExitReason
from tests.unit.texts import any_text

USAGE = {"cpu_s": 0.5, "max_memory_bytes": 1, "wall_s": 1.0}


def exited(code: int) -> int:
    return code << 8


STOPPED = Stop("stopped", "it was asked to")


@pytest.mark.parametrize(
    "ending,reason",
    [
        (Ending(exited(0)), "completed"),
        (Ending(exited(1)), "error"),
        (Ending(exited(137)), "error"),
        (Ending(signal.SIGSEGV), "error"),
        (Ending(signal.SIGKILL), "killed"),
        (Ending(signal.SIGKILL, num_oom_kills=1), "out_of_memory"),
        (Ending(exited(1), num_oom_kills=1), "out_of_memory"),
        (Ending(exited(0), num_oom_kills=1), "completed"),
        (Ending(signal.SIGKILL, over_memory=True), "out_of_memory"),
        (Ending(signal.SIGTERM, STOPPED), "stopped"),
        (Ending(signal.SIGKILL, STOPPED), "stopped"),
        (Ending(exited(0), STOPPED), "stopped"),
        (Ending(signal.SIGKILL, Stop("timeout", "")), "timeout"),
        (Ending(signal.SIGKILL, Stop("lease_expired", "")), "lease_expired"),
        (Ending(signal.SIGKILL, STOPPED, num_oom_kills=2), "out_of_memory"),
    ],
)
def test_the_reason_of_an_end(ending: Ending, reason: str) -> None:
    assert classify(ending)[0] == reason


@pytest.mark.parametrize(
    "limit_bytes,words",
    [
        (2 << 30, "its limit of 2 GiB and"), (1536 << 20, "its limit of 1.5 GiB and"),
        (512 << 20, "its limit of 512 MiB and"), (2 * 10**9, "its limit of 1.86 GiB and"),
        (None, "its limit and"),
    ],
)  # fmt: skip
def test_a_memory_limit_that_was_passed_is_named(limit_bytes: int | None, words: str) -> None:
    ending = Ending(signal.SIGKILL, over_memory=True, memory_limit_bytes=limit_bytes)
    assert words in classify(ending)[1]


def test_a_signal_is_named_and_counted_as_a_shell_would() -> None:
    assert code_and_signal(signal.SIGKILL) == (137, 9)
    assert code_and_signal(exited(3)) == (3, None)
    assert classify(Ending(signal.SIGSEGV))[1] == "SIGSEGV ended it (segmentation fault)"


@given(
    st.integers(0, 255).map(exited) | st.integers(1, 64),
    st.none() | st.builds(Stop, st.sampled_from(list(map(str, ExitReason))), any_text()),
    st.integers(0, 3),
    st.booleans(),
)
def test_every_end_makes_a_record_that_the_control_plane_takes(
    status: int, stop: Stop | None, num_oom_kills: int, over_memory: bool
) -> None:
    ending = Ending(status, stop, num_oom_kills, over_memory)
    taken = ExitRecord.model_validate(record(ending, "2026-01-01T00:00:00.000Z", USAGE))
    assert (taken.signal is not None) == (0 < status < 256 and status & 0x7F != 0)
    assert taken.code is not None
