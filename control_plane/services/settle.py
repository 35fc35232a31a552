"""Derives gangs and jobs from their replicas. Run after every observation and by every sweep:
running it twice, or after a crash between any two steps, changes nothing more.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from control_plane.domain import job as job_domain
from control_plane.domain import replica as replica_domain
from control_plane.domain.retries import (
    TEMPORARY_FAILURE_CODE,
    Failures,
    backoff_s,
    got_somewhere,
    judge,
)
from control_plane.services.end_job import end_job
from control_plane.services.moves import move_gang, move_job
from control_plane.store.models import Gang, Job, Replica
from control_plane.store.unit_of_work import Transaction
from control_plane.topics import ROUTES, job_topic
from penstock.api.states import ExitReason, JobState, JobType, Outcome, ReplicaState

_ACTIVE = (JobState.STARTING, JobState.RUNNING)


def settle(tx: Transaction, job: Job, gang: Gang, now: datetime) -> None:
    """Moves the gang as far as its replicas say, then the job as far as its gangs say."""
    replicas = tx.replicas.of_attempt(gang.id, gang.attempt)
    if gang.state in _ACTIVE:
        _settle_active(tx, job, gang, replicas, now)
    if gang.state == JobState.STOPPING and all(_ended(replica) for replica in replicas):
        job.started_at = job.started_at or _first_start(replicas)
        finish_gang(tx, job, gang, now)
    settle_job(tx, job, now)


def is_settled(job: Job, gang: Gang, replicas: Sequence[Replica], siblings: Sequence[Gang]) -> bool:
    """Whether `settle` would change nothing; `siblings` are all gangs of the job."""
    ended = all(_ended(replica) for replica in replicas)
    if gang.state in _ACTIVE:
        runs = gang.state == JobState.RUNNING or not all(_has_run(it) for it in replicas)
        moves = ended or not runs or _first_failure(job, replicas) is not None
    else:
        moves = gang.state == JobState.STOPPING and ended
    return not moves and job.state == job_domain.derive([JobState(it.state) for it in siblings])


def stop_gang(
    tx: Transaction, job: Job, gang: Gang, outcome: Outcome, reason: str, message: str,
    now: datetime,
) -> None:  # fmt: skip
    """Stops a placed gang; `outcome` says where it goes once its last replica has ended."""
    gang.outcome = outcome
    if gang.state != JobState.STOPPING:
        move_gang(tx, job, gang, JobState.STOPPING, reason, message, now)
    for replica in tx.replicas.of_attempt(gang.id, gang.attempt):
        stop_replica(tx, replica)


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
    reason, message = gang.reason, gang.message
    if target is JobState.QUEUED:
        failures = Failures(gang.own_failures, gang.infrastructure_failures)
        delay = backoff_s(failures) if outcome is Outcome.RETRY else 0.0
        gang.not_before = now + timedelta(seconds=delay)
        gang.master = gang.wait = gang.outcome = None
        reason, message = outcome, f"waiting for attempt {gang.attempt + 1}: {gang.message}"
    move_gang(tx, job, gang, target, reason, message, now)


def settle_job(tx: Transaction, job: Job, now: datetime) -> None:
    """Moves the job to the state that its gangs add up to."""
    gangs = tx.jobs.gangs(job.id)
    target = job_domain.derive([JobState(gang.state) for gang in gangs])
    gang = _speaker(gangs, target)
    message = gang.message
    if target is JobState.RUNNING and job.type == JobType.SERVE:
        message = _how_many_run(gangs)
    if job.state == target:
        _retell(tx, job, message)
        return
    job.outcome = gang.outcome
    if target is JobState.RUNNING and job.started_at is None:
        job.started_at = now
    if target in job_domain.TERMINAL:
        job.exit_code, job.exit_reason = gang.exit_code, gang.exit_reason
        job.ended_at = now
    move_job(tx, job, target, gang.reason, message, now)
    if target in job_domain.TERMINAL:
        end_job(tx, job, now)


def _settle_active(
    tx: Transaction, job: Job, gang: Gang, replicas: Sequence[Replica], now: datetime
) -> None:
    failed = _first_failure(job, replicas)
    if failed is not None:
        _fail(tx, job, gang, failed, now)
    elif replicas and all(_ended(replica) for replica in replicas):
        gang.exit_code, gang.exit_reason = 0, ExitReason.COMPLETED
        stop_gang(tx, job, gang, Outcome.SUCCEEDED, "completed", "all replicas completed", now)
    elif gang.state == JobState.STARTING and all(_has_run(replica) for replica in replicas):
        message = f"{len(replicas)} of {len(replicas)} replicas run"
        if job.type == JobType.SERVE:
            message = f"attempt {gang.attempt} of replica {gang.index} runs"
        move_gang(tx, job, gang, JobState.RUNNING, "running", message, now)


def _fail(tx: Transaction, job: Job, gang: Gang, replica: Replica, now: datetime) -> None:
    exit_record = replica.exit or {}
    reason = _blame(job, replica)
    before = Failures(gang.own_failures, gang.infrastructure_failures)
    outcome, after = judge(
        reason, before, _limit(job), got_somewhere=_got_somewhere(tx, gang, replica, now)
    )
    gang.own_failures, gang.infrastructure_failures = after.own, after.infrastructure
    gang.exit_code, gang.exit_reason = exit_record.get("code"), reason
    stop_gang(tx, job, gang, outcome, reason, f"rank {replica.rank}: {replica.message}", now)


def _got_somewhere(tx: Transaction, gang: Gang, replica: Replica, now: datetime) -> bool:
    began, ended = replica.started_at, replica.ended_at or now
    ran_s = (ended - began).total_seconds() if began is not None else 0.0
    commits = tx.jobs.checkpoints(gang.job_id)
    return got_somewhere(ran_s, any(commit.epoch == gang.attempt for commit in commits))


def _limit(job: Job) -> int | None:
    """A serving replica is started again as long as its job is wanted; back-off slows it."""
    if job.type == JobType.SERVE:
        return None
    return int(job.spec.get("retry", {}).get("limit", 0))


def _blame(job: Job, replica: Replica) -> ExitReason:
    if replica.state == ReplicaState.LOST:
        return ExitReason.LOST
    record = replica.exit or {}
    reason = ExitReason(record.get("reason", ExitReason.ERROR))
    if reason is ExitReason.ERROR and record.get("code") == TEMPORARY_FAILURE_CODE:
        return ExitReason.PEER_LOST
    return ExitReason.ERROR if reason is ExitReason.COMPLETED else reason


def _first_failure(job: Job, replicas: Sequence[Replica]) -> Replica | None:
    failed = [replica for replica in replicas if _ended(replica) and not _succeeded(job, replica)]
    return min(failed, key=lambda replica: (replica.since, replica.rank), default=None)


def _succeeded(job: Job, replica: Replica) -> bool:
    """A server is not meant to end by itself."""
    completed = (replica.exit or {}).get("reason") == ExitReason.COMPLETED
    return completed and job.type != JobType.SERVE


def _first_start(replicas: Sequence[Replica]) -> datetime | None:
    return min((it.started_at for it in replicas if it.started_at is not None), default=None)


def _ended(replica: Replica) -> bool:
    return replica.state in replica_domain.TERMINAL


def _has_run(replica: Replica) -> bool:
    return replica.state not in (ReplicaState.ASSIGNED, ReplicaState.STARTING)


def _how_many_run(gangs: Sequence[Gang]) -> str:
    """Of a serving job, whose gangs are one replica each."""
    num_running = sum(gang.state == JobState.RUNNING for gang in gangs)
    return f"{num_running} of {len(gangs)} replicas run"


def _retell(tx: Transaction, job: Job, message: str) -> None:
    """Keeps up the message of a job that goes on running while its replicas come and go."""
    if job.state == JobState.RUNNING and job.message != message:
        job.message = message
        tx.hints.add(job_topic(job.id))


def _speaker(gangs: Sequence[Gang], target: JobState) -> Gang:
    """The gang whose reason the job takes over."""
    for gang in gangs:
        if gang.state == target:
            return gang
    return gangs[0]
