"""How long the rest of a log is waited for: while it grows, and not much longer."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from control_plane.services.logs.waiting import (
    BLIND_PATIENCE_S,
    PATIENCE_S,
    LogPatience,
    missing_line,
)
from control_plane.store.repositories.replicas import LogEnd
from penstock.api.ids import ReplicaId

ENDED = datetime(2026, 1, 5, 12, 0, tzinfo=UTC)


def _log(end: int, log_bytes: int | None = 100, state: str = "exited") -> LogEnd:
    record: dict[str, Any] = {"log_bytes": log_bytes}
    return LogEnd(ReplicaId("replica_1"), 0, 1, 0, state, end, record, ENDED)


def _after(seconds: float) -> datetime:
    return ENDED + timedelta(seconds=seconds)


def test_a_log_that_is_all_in_is_over_at_once() -> None:
    assert LogPatience().is_over(_log(100), ENDED, ENDED)
    assert missing_line(_log(100)) is None


def test_the_rest_is_waited_for_and_then_given_up() -> None:
    patience = LogPatience()
    assert not patience.is_over(_log(40), ENDED, _after(PATIENCE_S - 1))
    assert patience.is_over(_log(40), ENDED, _after(PATIENCE_S))
    line = missing_line(_log(40))
    assert line is not None
    assert line.text == "[penstock] the last 60 bytes of this output have not come yet"


def test_a_log_that_grows_is_waited_for_as_long_as_it_does() -> None:
    patience = LogPatience()
    for number in range(10):
        assert not patience.is_over(_log(number), ENDED, _after(number * (PATIENCE_S - 1)))
    assert patience.is_over(_log(9), ENDED, _after(10 * PATIENCE_S))


def test_an_end_without_a_length_is_waited_for_only_briefly() -> None:
    patience = LogPatience()
    assert not patience.is_over(_log(40, None), ENDED, _after(BLIND_PATIENCE_S / 2))
    assert patience.is_over(_log(40, None), ENDED, _after(BLIND_PATIENCE_S))
    assert missing_line(_log(40, None)) is None


def test_nothing_more_comes_of_a_lost_replica() -> None:
    assert LogPatience().is_over(_log(0, None, "lost"), ENDED, ENDED)


def test_a_live_replica_is_over_only_long_after_its_jobs_end() -> None:
    live = _log(5, None, "running")
    assert not LogPatience().is_over(live, None, _after(3600))
    assert not LogPatience().is_over(live, ENDED, _after(PATIENCE_S - 1))
    assert LogPatience().is_over(live, ENDED, _after(PATIENCE_S))


@pytest.mark.parametrize("back_s", [1.0, PATIENCE_S, 60.0, 3600.0, 86400.0])
def test_a_clock_that_is_set_back_makes_no_reader_wait_for_all_of_it(back_s: float) -> None:
    patience = LogPatience()
    assert not patience.is_over(_log(40), ENDED, _after(1))
    assert not patience.is_over(_log(40), ENDED, _after(1 - back_s))
    assert patience.is_over(_log(40), ENDED, _after(1 - back_s + PATIENCE_S))


def test_a_log_that_grows_after_the_clock_was_set_back_is_waited_for_anew() -> None:
    patience = LogPatience()
    assert not patience.is_over(_log(40), ENDED, _after(-3600))
    assert not patience.is_over(_log(41), ENDED, _after(-3600 + PATIENCE_S - 1))
    assert not patience.is_over(_log(41), ENDED, _after(-3600 + PATIENCE_S + 1))
    assert patience.is_over(_log(41), ENDED, _after(-3600 + 2 * PATIENCE_S - 1))
