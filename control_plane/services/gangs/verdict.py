"""Judges a failed attempt: which replica's end was the cause, who pays for it, in which words.
Writes nothing; `settle` acts on it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final

from control_plane.domain.replica import TERMINAL
from control_plane.domain.retries import (
    INFRASTRUCTURE,
    SERVER_START_LIMIT,
    TEMPORARY_FAILURE_CODE,
    Attempt,
    Failures,
    Limits,
    judge,
)
from control_plane.services.gangs.replica_message import whose
from control_plane.store.models import Gang, Job, Replica
from control_plane.store.unit_of_work import Transaction
from penstock.api.messages import Message, say
from penstock.api.states import ExitReason, JobType, Outcome, ReplicaState


@dataclass(frozen=True, slots=True)
class Cause:
    """Why an attempt failed: in one of our words, in the word that is shown, and for people."""

    exit_reason: ExitReason
    reason: str
    message: Message


@dataclass(frozen=True, slots=True)
class Verdict:
    """What becomes of a gang whose attempt failed."""

    outcome: Outcome
    failures: Failures
    cause: Cause
    exit_code: int | None


def first_failure(job: Job, replicas: Sequence[Replica]) -> Replica | None:
    """The replica that ended the attempt. One that only lost its peers is not to blame where
    another one failed by itself.
    """
    failed = [it for it in replicas if it.state in TERMINAL and not _succeeded(job, it)]
    return min(failed, key=_suspicion, default=None)


def waits_for_culprit(replica: Replica, replicas: Sequence[Replica]) -> bool:
    """Whether all that is known is that a peer was lost, and some peer has not ended yet."""
    live = any(it.state not in TERMINAL for it in replicas)
    return live and _exit_reason(replica) is ExitReason.PEER_LOST and not _blames_itself(replica)


def judge_replica(
    tx: Transaction, job: Job, gang: Gang, replica: Replica, now: datetime
) -> Verdict:
    """The verdict on an attempt that failed by this replica's end."""
    exit_reason = _exit_reason(replica)
    reported, lost = reported_code(replica), exit_reason is ExitReason.PEER_LOST
    own_word = exit_reason is ExitReason.ERROR or (lost and reported)
    reason = replica.reason if own_word else exit_reason
    message = replica.coded_message
    if lost and not reported:
        message = say("not_its_own_fault", message=message)
    return judge_cause(tx, job, gang, replica, Cause(exit_reason, reason, message), now)


def judge_cause(
    tx: Transaction, job: Job, gang: Gang, replica: Replica, cause: Cause, now: datetime
) -> Verdict:
    """The verdict on an attempt that failed by this cause, at this replica."""
    attempt = Attempt(
        ran_s=_ran_s(tx, replica),
        advanced=_advanced(tx, job, gang),
        answered=job.type == JobType.SERVE and replica.ready_at is not None,
        final=_is_final(replica),
    )
    outcome, after = judge(cause.exit_reason, failures_of(gang), limits_of(job), attempt)
    end = None
    if outcome is Outcome.FAILED:
        final = attempt.final and cause.exit_reason not in INFRASTRUCTURE
        end = say("final") if final else _given_up(job, cause.exit_reason, after)
    message = say("attempt_failed", whose=whose(tx, replica), cause=cause.message, end=end)
    ended = replace(cause, message=message)
    return Verdict(outcome, after, ended, (replica.exit or {}).get("code"))


def outcome_if_lost(
    tx: Transaction, job: Job, gang: Gang, replica: Replica, now: datetime
) -> Outcome:
    """What the attempt would end in if this replica were not heard of any more."""
    lost = Cause(ExitReason.LOST, ExitReason.LEASE_EXPIRED, say("lease_expired"))
    return judge_cause(tx, job, gang, replica, lost, now).outcome


def failures_of(gang: Gang) -> Failures:
    """Those before its present attempt."""
    return Failures(gang.own_failures, gang.infrastructure_failures, gang.failures_in_a_row)


def limits_of(job: Job) -> Limits:
    """A serving replica that cannot even start is given up; otherwise it is started again as long
    as its job is wanted, and back-off slows it.
    """
    own = int(job.spec.get("retry", {}).get("limit", 0))
    if job.type == JobType.SERVE:
        return Limits(max(own, SERVER_START_LIMIT), infrastructure=None)
    return Limits(own)


_FOLLOWS: Final = (ExitReason.PEER_LOST, ExitReason.STOPPED)
"""Ends that follow from another replica's, the more telling one first."""


def _suspicion(replica: Replica) -> tuple[int, datetime, int]:
    reason = _exit_reason(replica)
    if reason is ExitReason.PEER_LOST and _blames_itself(replica):
        return 0, replica.since, replica.rank
    follows = 1 + _FOLLOWS.index(reason) if reason in _FOLLOWS else 0
    return follows, replica.since, replica.rank


def _exit_reason(replica: Replica) -> ExitReason:
    if replica.state == ReplicaState.LOST:
        return ExitReason.LOST
    record: dict[str, Any] = replica.exit or {}
    reason = ExitReason(record.get("reason", ExitReason.ERROR))
    if reason is not ExitReason.ERROR:
        return ExitReason.ERROR if reason is ExitReason.COMPLETED else reason
    if record.get("code") == TEMPORARY_FAILURE_CODE:
        return ExitReason.PEER_LOST
    return (
        ExitReason.OUT_OF_MEMORY if reported_code(replica) == ExitReason.OUT_OF_MEMORY else reason
    )


def _blames_itself(replica: Replica) -> bool:
    """Whether it named a cause of its own, not its peers: its storage, for example."""
    return reported_code(replica) not in (None, ExitReason.PEER_LOST)


def reported_code(replica: Replica) -> str | None:
    """The code that the workload reported for its end."""
    return ((replica.exit or {}).get("failure") or {}).get("code")


def _is_final(replica: Replica) -> bool:
    """Whether the workload said that another try would end the same."""
    return bool(((replica.exit or {}).get("failure") or {}).get("final"))


def _succeeded(job: Job, replica: Replica) -> bool:
    """A server is not meant to end by itself."""
    completed = (replica.exit or {}).get("reason") == ExitReason.COMPLETED
    return completed and job.type != JobType.SERVE


def _ran_s(tx: Transaction, replica: Replica) -> float:
    """By its supervisor's own clock, else by its lease: wall time may have stepped."""
    wall_s: float | None = (replica.exit or {}).get("wall_s")
    if wall_s is not None:
        return wall_s
    lease = tx.leases.of_replica(replica.id)
    if lease is None or lease.began_at is None:
        return 0.0
    return ((lease.ended_at or tx.lease_time) - lease.began_at).total_seconds()


def _advanced(tx: Transaction, job: Job, gang: Gang) -> bool:
    """Whether the attempt committed a step beyond all that were committed before it."""
    commits = tx.checkpoints.intact(gang.job_id)
    start = int((job.resolved.get("resume") or {}).get("step", 0))
    before = max((it.step for it in commits if it.epoch < gang.attempt), default=start)
    return any(it.step > before for it in commits if it.epoch == gang.attempt)


def _given_up(job: Job, reason: ExitReason, after: Failures) -> Message | None:
    if reason is ExitReason.TIMEOUT:
        return None
    if reason in INFRASTRUCTURE:
        return say("faults_in_a_row", count=after.infrastructure)
    if job.type == JobType.SERVE:
        return say("failed_starts", count=after.own)
    return say("failed_tries", count=after.own) if after.own > 1 else None
