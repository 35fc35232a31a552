"""What an ended replica's record says beyond what its supervisor saw."""

from __future__ import annotations

from typing import Any

import pytest

from agents.boottime import boottime_ns
from agents.replicas.last_output import last_line
from agents.runtimes.fake import FakeRuntime
from penstock.api.assignments import ExitRecord, Failure
from penstock.api.ids import ReplicaId
from penstock.api.states import ExitReason
from tests.fakes.agent_parts import a_keeper, a_list, an_assignment

TRACE = b"Traceback\n  File x\n\x1b[31mModuleNotFoundError: No module named 'x'\x1b[0m\n\n"


def _end(
    code: int,
    reason: ExitReason | None = None,
    failure: Failure | None = None,
    output: bytes = TRACE,
    **assigned: Any,
) -> ExitRecord:
    runtime = FakeRuntime()
    controller = a_keeper(runtime)
    controller.take(a_list(1, an_assignment(**assigned)), boottime_ns())
    controller.sweep()
    runtime.write(ReplicaId("replica_1"), output)
    if failure is not None:
        controller.replicas.change(ReplicaId("replica_1"), failure=failure)
    runtime.end(ReplicaId("replica_1"), code, reason)
    controller.sweep()
    request = controller.outbox.take()
    assert request is not None
    record = request.observations[-1].exit
    assert record is not None
    return record


def test_a_replica_that_failed_tells_the_last_line_of_its_output() -> None:
    record = _end(1)
    assert record.last_line == "ModuleNotFoundError: No module named 'x'"
    assert (record.failure, record.log_bytes) == (None, len(TRACE))


def test_its_own_word_is_worth_more_than_its_last_line() -> None:
    record = _end(1, failure=Failure(code="bad_input", message="no data"))
    assert record.failure == Failure(code="bad_input", message="no data")
    assert record.last_line == ""


@pytest.mark.parametrize(
    "code, reason",
    [
        (0, None),
        (143, ExitReason.STOPPED),
        (137, ExitReason.OUT_OF_MEMORY),
        (137, ExitReason.KILLED),
    ],
)
def test_ends_that_need_no_words_get_none(code: int, reason: ExitReason | None) -> None:
    record = _end(code, reason, Failure(code="bad_input", message="said too early"))
    assert (record.failure, record.last_line) == (None, "")


def test_values_of_the_environment_are_not_quoted() -> None:
    env = {"API_KEY": "sk-12345678", "DEBUG": "1"}
    record = _end(1, output=b"denied: key sk-12345678, debug 1\n", env=env)
    assert record.last_line == "denied: key ***, debug 1"


def test_a_line_of_any_length_is_bounded() -> None:
    assert len(_end(1, output=b"x" * 100_000).last_line) == 300


def test_of_a_progress_bar_the_last_state_counts() -> None:
    assert last_line(b"10%\r50%\r99%\r\n \n") == "99%"
    assert last_line(b"") == last_line(b"\n \n") == ""
