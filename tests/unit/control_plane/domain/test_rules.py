"""Leases, retries, health after silence, and what states follow from."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from control_plane.domain import endpoint, job, replica
from control_plane.domain.lease import AGENT, Proof, expires_at, is_over, margin_s, proof_of
from control_plane.domain.node import health_after_silence
from control_plane.domain.retries import (
    INFRASTRUCTURE,
    INFRASTRUCTURE_LIMIT,
    SERVER_START_LIMIT,
    TEMPORARY_FAILURE_CODE,
    Attempt,
    Failures,
    Limits,
    backoff_s,
    judge,
)
from penstock.api.states import (
    EndpointState,
    ExitReason,
    JobState,
    NodeHealth,
    Outcome,
    ReplicaState,
)

NOW = datetime(2026, 1, 1, tzinfo=UTC)


@given(st.floats(30, 86400), st.floats(0, 60), st.floats(-0.015, 0.015))
def test_a_node_stops_its_replica_before_the_server_leases_the_chips_again(
    ttl_s: float, request_s: float, drift: float
) -> None:
    """However long the request took, and with a clock off by 1.5 %."""
    expires = expires_at(NOW, ttl_s)
    deadline_by_its_clock = ttl_s - margin_s(ttl_s)
    sent = NOW - timedelta(seconds=request_s)
    stops_at = sent + timedelta(seconds=deadline_by_its_clock * (1 + drift))
    kill_s = 5.0
    assert not is_over(Proof.DEADLINE, expires, ttl_s, stops_at + timedelta(seconds=kill_s))


def test_a_lease_is_over_only_after_expiry_and_margin() -> None:
    expires = expires_at(NOW, 300)
    assert not is_over(Proof.DEADLINE, expires, 300, expires + timedelta(seconds=10.9))
    assert is_over(Proof.DEADLINE, expires, 300, expires + timedelta(seconds=11))


@given(ttl_s=st.floats(30, 1e6), late_s=st.floats(0, 1e9))
def test_no_time_is_over_where_the_owner_of_the_process_has_to_say_so(
    ttl_s: float, late_s: float
) -> None:
    late = NOW + timedelta(seconds=late_s)
    after_margin = late >= NOW + timedelta(seconds=margin_s(ttl_s))
    assert not is_over(proof_of("kubernetes"), NOW, ttl_s, late)
    assert is_over(proof_of(AGENT), NOW, ttl_s, late) is after_margin


@given(st.sampled_from(sorted(INFRASTRUCTURE)), st.integers(0, 5))
def test_infrastructure_never_consumes_the_users_retries(reason: ExitReason, own: int) -> None:
    outcome, after = judge(reason, Failures(own, 0), Limits())
    assert outcome is Outcome.RETRY
    assert after.own == own


def test_faults_in_a_row_end_within_a_minute() -> None:
    failures, waited_s, attempts = Failures(), 0.0, 1
    while True:
        outcome, failures = judge(ExitReason.KILLED, failures, Limits())
        if outcome is Outcome.FAILED:
            break
        waited_s, attempts = waited_s + backoff_s(failures.in_a_row), attempts + 1
    assert attempts == INFRASTRUCTURE_LIMIT + 1
    assert waited_s < 60


def test_long_training_goes_on_for_ever_through_rare_faults() -> None:
    failures = Failures(own=1)
    for _ in range(100):
        outcome, failures = judge(ExitReason.LOST, failures, Limits(1), Attempt(ran_s=600))
        assert (outcome, failures) == (Outcome.RETRY, Failures(1, 1, 1))
    assert judge(ExitReason.LOST, Failures(0, 5, 5), Limits(), Attempt(599))[0] is Outcome.FAILED


def test_work_that_gets_further_each_time_but_dies_at_once_goes_on_ever_more_slowly() -> None:
    failures, waits = Failures(), []
    for _ in range(12):
        outcome, failures = judge(ExitReason.KILLED, failures, Limits(), Attempt(3, advanced=True))
        assert (outcome, failures.infrastructure) == (Outcome.RETRY, 1)
        waits.append(backoff_s(failures.in_a_row))
    assert (waits[0], waits[-1]) == (1, 300)
    assert waits == sorted(waits)


def test_a_server_that_cannot_start_is_given_up_and_one_that_has_answered_is_not() -> None:
    limits, failures = Limits(SERVER_START_LIMIT, infrastructure=None), Failures()
    for _ in range(SERVER_START_LIMIT):
        outcome, failures = judge(ExitReason.ERROR, failures, limits)
        assert outcome is Outcome.RETRY
    assert judge(ExitReason.ERROR, failures, limits)[0] is Outcome.FAILED
    outcome, after = judge(ExitReason.ERROR, failures, limits, Attempt(answered=True))
    assert (outcome, after.own, after.in_a_row) == (Outcome.RETRY, 1, SERVER_START_LIMIT + 1)
    assert judge(ExitReason.KILLED, Failures(0, 99), limits)[0] is Outcome.RETRY


def test_the_users_failures_end_at_the_users_limit() -> None:
    outcome, after = judge(ExitReason.ERROR, Failures(), Limits(1))
    assert (outcome, after.own) == (Outcome.RETRY, 1)
    assert judge(ExitReason.ERROR, after, Limits(1))[0] is Outcome.FAILED


def test_a_timeout_is_final() -> None:
    assert judge(ExitReason.TIMEOUT, Failures(), Limits(9))[0] is Outcome.FAILED


def test_backoff_doubles_up_to_five_minutes() -> None:
    waits = [backoff_s(number) for number in (1, 2, 3, 20, 10_000)]
    assert waits == [1, 2, 4, 300, 300]


def test_silence_makes_a_node_suspect_and_then_lost() -> None:
    seen = [health_after_silence(NodeHealth.READY, s, 15, 60) for s in (14.0, 16.0)]
    assert seen == [NodeHealth.READY, NodeHealth.SUSPECT]
    assert health_after_silence(NodeHealth.SUSPECT, 61, 15, 60) is NodeHealth.LOST


def test_a_node_is_lost_only_after_the_time_for_it_is_over() -> None:
    for health in (NodeHealth.SUSPECT, NodeHealth.JOINING):
        seen = [health_after_silence(health, silent_s, 15, 60) for silent_s in (16, 60, 60.1)]
        assert seen == [health, health, NodeHealth.LOST]
    assert health_after_silence(NodeHealth.READY, 15, 15, 60) is NodeHealth.READY


def test_a_replica_says_that_a_fault_was_not_its_own_as_other_programs_do() -> None:
    assert TEMPORARY_FAILURE_CODE == os.EX_TEMPFAIL


def test_a_server_is_started_again_five_times() -> None:
    limits = Limits(SERVER_START_LIMIT, infrastructure=None)
    outcomes = [judge(ExitReason.ERROR, Failures(own), limits)[0] for own in (4, 5)]
    assert outcomes == [Outcome.RETRY, Outcome.FAILED]


def test_an_endpoint_is_degraded_only_once_it_was_ready() -> None:
    pending, ready, degraded = EndpointState.PENDING, EndpointState.READY, EndpointState.DEGRADED
    assert [endpoint.derive(pending, it, 2, False) for it in (0, 1, 2)] == [pending, pending, ready]
    assert [endpoint.derive(ready, it, 2, False) for it in (0, 1, 2)] == [degraded, degraded, ready]
    assert endpoint.derive(degraded, 1, 2, False) is degraded
    assert endpoint.derive(ready, 2, 2, True) is EndpointState.CLOSED


def test_a_stopped_gang_waits_again_unless_it_has_ended() -> None:
    again = {it for it in Outcome if job.after_stop(it) is JobState.QUEUED}
    assert again == {Outcome.PREEMPTED, Outcome.RETRY}
    assert {job.after_stop(it) for it in set(Outcome) - again} == job.TERMINAL


def test_a_replica_lives_until_it_has_exited_or_is_lost() -> None:
    assert set(ReplicaState) - replica.LIVE == {ReplicaState.EXITED, ReplicaState.LOST}
