"""Why gangs wait: which reasons have changed since they were written down, and writing them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from control_plane.hints.topics import job_topic
from control_plane.services.gangs.last_attempt import last_attempt
from control_plane.services.gangs.moves import change_message
from control_plane.store.models import Gang, Job
from control_plane.store.snapshot.snapshot_reader import PoolReading
from control_plane.store.unit_of_work import Transaction
from penstock.api.messages import say
from penstock.api.states import JobState
from scheduler import model
from scheduler.model import Code, Plan


@dataclass(frozen=True, slots=True)
class Deferral:
    """A gang waits for another reason than before."""

    gang_id: model.GangId
    code: str


def changed_waits(pool: PoolReading, plan: Plan) -> Iterator[Deferral]:
    """Where reasons changed: a job that goes on waiting costs no write. A back-off that ended since
    the plan still has to be noticed: the plan's time counts.
    """
    for gang_id, code in sorted(plan.deferrals.items()):
        seen = pool.waits[gang_id]
        ended = seen.not_before is not None and seen.not_before <= pool.lease_time
        if seen.code != code.value or ended:
            yield Deferral(gang_id, code.value)


def note_wait(tx: Transaction, job: Job, gang: Gang, code: str, planned_at: datetime) -> None:
    if gang.not_before is not None and gang.not_before <= planned_at:
        gang.not_before = None
    gang.wait = {"code": code}
    message = gang.coded_message
    if code != Code.BACKING_OFF:  # until when, and why, was said when the attempt ended
        message = say("waits", why=code, job=job.name, last=last_attempt(job, gang))
    change_message(gang, message, code)
    if job.state == JobState.QUEUED:
        change_message(job, message, code)
        tx.hints.add(job_topic(job.id))
