"""Derives gangs and jobs from their replicas. Run after every observation and by every sweep:
running it twice, or after a crash between any two steps, changes nothing more.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from control_plane.domain import job as job_domain
from control_plane.domain import replica as replica_domain
from control_plane.domain.retries import backoff_s
from control_plane.hints.topics import ROUTES, job_topic
from control_plane.services.gangs.end import end_job
from control_plane.services.gangs.fall_back import fall_back
from control_plane.services.gangs.last_attempt import end_of_attempt, note_end
from control_plane.services.gangs.moves import change_message, move_gang, move_job
from control_plane.services.gangs.serving_message import serving_message
from control_plane.services.gangs.verdict import (
    Verdict,
    first_failure,
    judge_replica,
    waits_for_culprit,
)
from control_plane.store.models import Gang, Job, Replica
from control_plane.store.unit_of_work import Transaction
from penstock.api.messages import Message, say
from penstock.api.states import ExitReason, JobState, JobType, Outcome, ReplicaState

_ACTIVE = (JobState.STARTING, JobState.RUNNING)


def settle(tx: Transaction, job: Job, gang: Gang, now: datetime) -> None:
    """Moves the gang as far as its replicas say, then the job as far as its gangs say."""
    replicas = tx.replicas.of_attempt(gang.id, gang.attempt)
    if gang.state in _ACTIVE:
        _settle_active(tx, job, gang, replicas, now)
    if gang.state == JobState.STOPPING and all(_ended(replica) for replica in replicas):
        _blame_at_last(tx, job, gang, replicas, now)
        job.started_at = job.started_at or _first_start(replicas)
        finish_gang(tx, job, gang, now)
    settle_job(tx, job, now)


def is_settled(job: Job, gang: Gang, replicas: Sequence[Replica], siblings: Sequence[Gang]) -> bool:
    """Whether `settle` would change nothing; `siblings` are all gangs of the job."""
    ended = all(_ended(replica) for replica in replicas)
    if gang.state in _ACTIVE:
        runs = gang.state == JobState.RUNNING or not all(_has_run(it) for it in replicas)
        moves = ended or not runs or first_failure(job, replicas) is not None
    else:
        moves = gang.state == JobState.STOPPING and ended
    return not moves and job.state == job_domain.derive([JobState(it.state) for it in siblings])


def stop_gang(
    tx: Transaction,
    job: Job,
    gang: Gang,
    outcome: Outcome,
    message: Message,
    now: datetime,
    reason: str | None = None,
) -> None:
    """Stops a placed gang; `outcome` says where it goes once its last replica has ended."""
    gang.outcome = outcome
    if gang.state != JobState.STOPPING:
        move_gang(tx, job, gang, JobState.STOPPING, message, now, reason)
    else:
        change_message(gang, message, reason or message.code)
    for replica in tx.replicas.of_attempt(gang.id, gang.attempt):
        stop_replica(tx, replica)


def fail_gang(tx: Transaction, job: Job, gang: Gang, verdict: Verdict, now: datetime) -> None:
    """Stops a gang whose attempt failed and counts the failure."""
    failures, cause = verdict.failures, verdict.cause
    gang.own_failures = failures.own
    gang.infrastructure_failures = failures.infrastructure
    gang.failures_in_a_row = failures.in_a_row
    gang.exit_code, gang.exit_reason = verdict.exit_code, cause.exit_reason
    stop_gang(tx, job, gang, verdict.outcome, cause.message, now, cause.reason)


def stop_replica(tx: Transaction, replica: Replica) -> None:
    """Asks the replica's node to stop it."""
    if replica.state in replica_domain.LIVE and replica.desired != "stop":
        replica.desired = "stop"
        replica.stop_reason = ExitReason.STOPPED
        replica.ready = False
        tx.nodes.bump_generation([replica.node_id])
        tx.hints.add(ROUTES)


def finish_gang(tx: Transaction, job: Job, gang: Gang, now: datetime) -> None:
    """Ends a stopping gang in its outcome: ended for good, or queued for another attempt."""
    outcome = Outcome(gang.outcome or Outcome.FAILED)
    target = job_domain.after_stop(outcome)
    reason, message = gang.reason, gang.coded_message
    note_end(gang, outcome)
    if target is JobState.QUEUED:
        delay = backoff_s(gang.failures_in_a_row) if outcome is Outcome.RETRY else 0.0
        gang.not_before = tx.lease_time + timedelta(seconds=delay)
        gang.master = gang.wait = gang.outcome = None
        reason, message = outcome, _next_attempt(gang, delay, now)
    move_gang(tx, job, gang, target, message, now, reason)


def settle_job(
    tx: Transaction, job: Job, now: datetime, gangs: Sequence[Gang] | None = None
) -> None:
    """Moves the job to the state that its gangs add up to; `gangs` are all of them, if at hand."""
    gangs = gangs or tx.gangs.of_job(job.id)
    target = job_domain.derive([JobState(gang.state) for gang in gangs])
    gang = _speaker(gangs, target)
    message = gang.coded_message
    if target is JobState.RUNNING and job.type == JobType.SERVE:
        message = serving_message(gangs)
    if job.state == target:
        if target is JobState.RUNNING and change_message(job, message):
            tx.hints.add(job_topic(job.id))
        return
    job.outcome = gang.outcome
    if target is JobState.RUNNING and job.started_at is None:
        job.started_at = now
    if target in job_domain.TERMINAL:
        job.exit_code, job.exit_reason = gang.exit_code, gang.exit_reason
        job.ended_at = now
    move_job(tx, job, target, message, now, gang.reason)
    if target in job_domain.TERMINAL:
        end_job(tx, job, now)


def _settle_active(
    tx: Transaction, job: Job, gang: Gang, replicas: Sequence[Replica], now: datetime
) -> None:
    failed = first_failure(job, replicas)
    if failed is not None and waits_for_culprit(failed, replicas):
        stop_gang(tx, job, gang, Outcome.RETRY, say("peer_lost", rank=failed.rank), now)
    elif failed is not None:
        fail_gang(tx, job, gang, _judge(tx, job, gang, failed, now), now)
    elif replicas and all(_ended(replica) for replica in replicas):
        gang.exit_code, gang.exit_reason = 0, ExitReason.COMPLETED
        stop_gang(tx, job, gang, Outcome.SUCCEEDED, say("completed"), now)
    elif gang.state == JobState.STARTING and all(_has_run(replica) for replica in replicas):
        message = say("running", replicas=len(replicas))
        if job.type == JobType.SERVE:
            message = say("replica_runs", attempt=gang.attempt, replica=gang.index)
        move_gang(tx, job, gang, JobState.RUNNING, message, now, "running")


def _next_attempt(gang: Gang, delay_s: float, now: datetime) -> Message:
    """What ended and what comes next, for example `attempt 1 ended: rank 0 on node a: exit code 1;
    attempt 2 can start from 12:00:05 UTC on`.
    """
    last, following = end_of_attempt(gang), gang.attempt + 1
    if not delay_s:
        return say("next_attempt", last=last, attempt=following)
    at = now + timedelta(seconds=delay_s)
    return say("next_attempt_at", last=last, attempt=following, at=at)


def _blame_at_last(
    tx: Transaction, job: Job, gang: Gang, replicas: Sequence[Replica], now: datetime
) -> None:
    """A gang that stopped because a peer was lost is judged once all ends are known."""
    failed = first_failure(job, replicas)
    judged = gang.exit_reason is not None or gang.reason != ExitReason.PEER_LOST
    if not judged and failed is not None:
        fail_gang(tx, job, gang, _judge(tx, job, gang, failed, now), now)


def _judge(tx: Transaction, job: Job, gang: Gang, failed: Replica, now: datetime) -> Verdict:
    older = fall_back(tx, job, gang, failed, now)
    return older or judge_replica(tx, job, gang, failed, now)


def _first_start(replicas: Sequence[Replica]) -> datetime | None:
    return min((it.started_at for it in replicas if it.started_at is not None), default=None)


def _ended(replica: Replica) -> bool:
    return replica.state in replica_domain.TERMINAL


def _has_run(replica: Replica) -> bool:
    return replica.state not in (ReplicaState.ASSIGNED, ReplicaState.STARTING)


def _speaker(gangs: Sequence[Gang], target: JobState) -> Gang:
    """The gang whose reason the job takes over."""
    for gang in gangs:
        if gang.state == target:
            return gang
    return gangs[0]
