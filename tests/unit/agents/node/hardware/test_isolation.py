"""Failures and hangs stay where they are."""

from __future__ import annotations

import threading

import pytest
from structlog.testing import capture_logs

from agents.node.hardware.isolation import Failure, Isolated


def fails(error: Exception) -> object:
    raise error


def test_a_call_gives_its_result() -> None:
    assert Isolated("acme", 20).call(lambda it: it + 1, 5) == 21


def test_an_expected_error_is_its_text() -> None:
    isolated = Isolated("acme", OSError("no such device"), (OSError,))
    with capture_logs() as logs:
        assert isolated.call(fails, 5) == Failure("no such device")
    assert [it["event"] for it in logs] == ["chip_provider_failed"]


def test_an_unexpected_error_is_named_and_logged_with_its_traceback() -> None:
    with capture_logs() as logs:
        failure = Isolated("acme", ValueError("bad"), (OSError,)).call(fails, 5)
    assert failure == Failure("ValueError: bad")
    assert logs[0]["event"] == "chip_provider_broken"
    assert logs[0]["exc_info"]


def test_what_cannot_be_built_is_a_failure() -> None:
    with capture_logs():
        made = Isolated[int].build("acme", lambda: 1 // 0)
    assert made == Failure("ZeroDivisionError: integer division or modulo by zero")


def test_a_hanging_call_is_given_up_and_not_repeated_until_it_returns() -> None:
    release, returned = threading.Event(), threading.Event()

    def hang(answer: str) -> str:
        release.wait(30)
        returned.set()
        return answer

    isolated = Isolated("acme", "answer")
    threads = threading.active_count()
    assert isolated.call(hang, 0.01) == Failure("no answer within 0.01 s")
    refused = isolated.call(lambda it: it, 5)
    assert isinstance(refused, Failure)
    assert "hangs" in refused.reason
    assert threading.active_count() == threads + 1
    release.set()
    assert returned.wait(30)
    assert _eventually(isolated) == "answer"


def test_callers_at_the_same_time_take_turns() -> None:
    inside, release = threading.Event(), threading.Event()
    answers: list[object] = []

    def slow(answer: str) -> str:
        inside.set()
        release.wait(30)
        return answer

    isolated = Isolated("acme", "answer")
    first = threading.Thread(target=lambda: answers.append(isolated.call(slow, 30)))
    first.start()
    assert inside.wait(30)
    second = threading.Thread(target=lambda: answers.append(isolated.call(len, 30)))
    second.start()
    release.set()
    first.join(30)
    second.join(30)
    assert answers == ["answer", 6]


def _eventually(isolated: Isolated[str]) -> str:
    for _ in range(100_000):
        answer = isolated.call(lambda it: it, 5)
        if not isinstance(answer, Failure):
            return answer
    pytest.fail("the collaborator was never asked again")
