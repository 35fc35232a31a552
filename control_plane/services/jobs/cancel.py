"""Ends a job because a user said so. Cancelling a cancelled job changes nothing."""

from __future__ import annotations

from datetime import datetime

from control_plane.domain.job import TERMINAL
from control_plane.errors import Conflict, ambiguous, not_found
from control_plane.services.deps import Caller, Deps
from control_plane.services.gangs.moves import move_gang
from control_plane.services.gangs.settle import settle_job, stop_gang
from control_plane.store.models import Job
from control_plane.store.repositories.base import Ambiguous
from control_plane.store.unit_of_work import Transaction
from penstock.api.ids import JobId, noun_of
from penstock.api.messages import Message, say
from penstock.api.states import ExitReason, JobState, Outcome, Role


def cancel_job(deps: Deps, caller: Caller, ref: str, because: str | None = None) -> JobId:
    """The job's id. A job that ended otherwise cannot be cancelled any more: Conflict.

    `because` goes into the job's message, for whoever wonders later.
    """
    caller.require(Role.MEMBER)
    now = deps.clock.now()
    message = say("cancelled", by=caller.name, because=because)

    def work(tx: Transaction) -> JobId:
        job = find_job(tx, caller, ref)
        if job.state in TERMINAL and job.state != JobState.CANCELLED:
            raise Conflict("job_ended", job=job.name, state=job.state)
        job.cancel_requested = True
        _cancel_gangs(tx, job, message, now)
        settle_job(tx, job, now)
        return job.id

    return deps.run(work)


def find_job(tx: Transaction, caller: Caller, ref: str) -> Job:
    """By id or name within what the caller sees. Raises NotFound, Conflict for a name that stands
    for jobs of several projects.
    """
    try:
        job = tx.jobs.find(ref, caller.sees)
    except Ambiguous as found:
        raise ambiguous("job", ref, found.choices) from found
    if job is None:
        raise not_found("job", ref)
    return job


def find_job_id(tx: Transaction, caller: Caller, ref: str) -> JobId:
    """The same, and no more than the id."""
    if noun_of(ref) is None:
        return find_job(tx, caller, ref).id
    job_id = JobId(ref)
    if not tx.jobs.is_of(job_id, caller.sees):
        raise not_found("job", ref)
    return job_id


def _cancel_gangs(tx: Transaction, job: Job, message: Message, now: datetime) -> None:
    for gang in tx.gangs.of_job(job.id):
        if gang.state == JobState.QUEUED:
            gang.outcome = Outcome.CANCELLED
            move_gang(tx, job, gang, JobState.CANCELLED, message, now)
        elif gang.state not in TERMINAL:
            gang.exit_reason = ExitReason.STOPPED
            stop_gang(tx, job, gang, Outcome.CANCELLED, message, now)
