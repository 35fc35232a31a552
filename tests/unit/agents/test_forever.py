"""A loop outlives every failure of its turns, and waits longer while they go on."""

from __future__ import annotations

import asyncio
from random import Random

import pytest

from agents.client import Denied, Refused, Unreachable
from agents.forever import DENIED_PAUSE_S, forever
from penstock.backoff import Backoff


def pauses_after(monkeypatch: pytest.MonkeyPatch, *errors: BaseException | None) -> list[float]:
    """How long the loop pauses after turns that fail so; it is cancelled after the last."""
    pauses: list[float] = []
    todo = list(errors)

    async def turn() -> None:
        if not todo:
            task = asyncio.current_task()
            assert task is not None
            task.cancel()
            raise asyncio.CancelledError
        error = todo.pop(0)
        if error is not None:
            raise error

    async def pause(seconds: float) -> None:
        pauses.append(seconds)

    monkeypatch.setattr(asyncio, "sleep", pause)
    with pytest.raises(asyncio.CancelledError):
        asyncio.run(forever("test", turn, Backoff(Random(1), first_s=1.0)))
    return pauses


def test_a_good_turn_is_followed_by_the_next_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    assert pauses_after(monkeypatch, None, None) == []


@pytest.mark.parametrize(
    "error",
    [
        Unreachable("away"), Refused("invalid", "no"), KeyError("a bug of ours"),
        OSError(28, "No space left on device"), MemoryError(), RecursionError(), SystemExit(1),
        asyncio.CancelledError("of what the turn waited for"),
    ],
)  # fmt: skip
def test_every_failure_is_survived(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> None:
    first, second = pauses_after(monkeypatch, error, error, None)
    assert 0.5 <= first <= 1.0 <= second <= 2.0


def test_a_server_that_names_a_time_gets_it(monkeypatch: pytest.MonkeyPatch) -> None:
    assert pauses_after(monkeypatch, Unreachable("busy", retry_after_s=30)) == [30]


def test_a_refused_credential_is_not_hammered(monkeypatch: pytest.MonkeyPatch) -> None:
    assert pauses_after(monkeypatch, Denied("revoked")) == [DENIED_PAUSE_S]


def test_success_makes_the_next_failure_a_first_one(monkeypatch: pytest.MonkeyPatch) -> None:
    away = Unreachable("away")
    *_, after = pauses_after(monkeypatch, away, away, away, None, away)
    assert after <= 1.0
