"""When the second watcher steps in, and with which reason."""

from __future__ import annotations

import pytest

from agents.boottime import seconds_ns
from agents.runtimes.base import StopOrder
from agents.runtimes.process.watch import Watch, ordered, overdue, renewed
from penstock.api.states import ExitReason

CANCEL = StopOrder(ExitReason.STOPPED, 10.0, "cancelled by its user")
HURRY = StopOrder(ExitReason.LEASE_EXPIRED, 2.0, "no lease")


def at(seconds: float) -> int:
    return seconds_ns(1000 + seconds)


def a_watch(**fields: object) -> Watch:
    given = {"started_ns": at(0), "lease_grace_s": 2.0, "stop_grace_s": 5.0, **fields}
    return Watch(**given)  # type: ignore[arg-type]


def reason(watch: Watch, seconds: float) -> ExitReason | None:
    order = overdue(watch, at(seconds))
    return None if order is None else order.reason


def test_nothing_is_overdue_that_nobody_limits() -> None:
    assert reason(a_watch(), 10**6) is None


@pytest.mark.parametrize("seconds,expected", [(32.9, None), (33.0, ExitReason.LEASE_EXPIRED)])
def test_a_lease_is_enforced_after_the_supervisors_grace_and_within_the_margin(
    seconds: float, expected: ExitReason | None
) -> None:
    assert reason(a_watch(deadline_ns=at(30)), seconds) is expected


@pytest.mark.parametrize("seconds,expected", [(67.9, None), (68.0, ExitReason.TIMEOUT)])
def test_a_maximum_duration_is_enforced_after_its_grace(
    seconds: float, expected: ExitReason | None
) -> None:
    assert reason(a_watch(max_duration_s=60.0), seconds) is expected


@pytest.mark.parametrize("seconds,expected", [(13.9, None), (14.0, ExitReason.STOPPED)])
def test_an_order_is_enforced_after_its_grace(seconds: float, expected: ExitReason | None) -> None:
    assert reason(ordered(a_watch(), CANCEL, at(1)), seconds) is expected


def test_the_first_reason_stays_and_a_later_order_only_hurries() -> None:
    watch = ordered(ordered(a_watch(), CANCEL, at(1)), HURRY, at(2))
    assert reason(watch, 7.0) is ExitReason.STOPPED
    assert reason(ordered(watch, CANCEL, at(50)), 7.0) is ExitReason.STOPPED


def test_the_reason_is_what_was_due_first() -> None:
    watch = ordered(a_watch(max_duration_s=60.0, deadline_ns=at(30)), CANCEL, at(40))
    assert reason(watch, 1000) is ExitReason.LEASE_EXPIRED


def test_a_deadline_moves_on_and_never_back() -> None:
    watch = renewed(renewed(a_watch(), at(30)), at(20))
    assert watch.deadline_ns == at(30)
