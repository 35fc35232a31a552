"""Answers why a job is where it is, at any time, from the pool as it is now."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Final

from control_plane.domain.job import TERMINAL
from control_plane.services.deps import Caller, Deps
from control_plane.services.endpoints.refresh import ready_replicas
from control_plane.services.gangs.last_attempt import last_attempt
from control_plane.services.gangs.serving_message import how_many_run, num_running, serving_message
from control_plane.services.gangs.silent_holds import silent_holds
from control_plane.services.jobs.cancel import find_job
from control_plane.services.jobs.plan import removals_of
from control_plane.services.scheduling.hide_names import hide_names
from control_plane.store.models import Gang, Job
from penstock.api.ids import GangId
from penstock.api.messages import Message, said, say
from penstock.api.plans import Explanation
from penstock.api.states import JobState, JobType
from penstock.catalogue import render
from scheduler import model
from scheduler.explain import Explanation as Wait
from scheduler.explain import explain

_MOST_GANGS: Final = 3


def explain_job(deps: Deps, caller: Caller, ref: str) -> Explanation:
    """For a waiting job the planner is asked afresh, so the answer is true now, not at the last
    cycle. Raises NotFound.
    """
    now = deps.clock.now()
    with deps.store.read() as tx:
        job = find_job(tx, caller, ref)
        gangs = tx.gangs.of_job(job.id)
        num_ready = len(ready_replicas(tx, job.id)) if job.type == JobType.SERVE else 0
        if not _waits(job, gangs):
            message = _state_message(job, gangs, num_ready, silent_holds(tx, job, gangs, now))
            return _answer(job, job.reason, message, now)
        snapshot = hide_names(deps.read_pool(tx, now).snapshot, caller)
        pasts = {it.id: last_attempt(job, it) for it in gangs}
    wait = explain(snapshot, deps.policy, now, {model.GangId(gang.id) for gang in gangs})
    return _waiting(job, gangs, _still_serving(job, gangs, num_ready), pasts, wait, now)


def _state_message(
    job: Job, gangs: Sequence[Gang], num_ready: int, held: Sequence[Message]
) -> Message:
    """Of a job that does not wait: where it is, what is `held` on silent nodes, which attempt that
    is, and what came before.
    """
    serves = job.type == JobType.SERVE and job.state == JobState.RUNNING
    message = serving_message(gangs, num_ready) if serves else job.coded_message
    attempts = [told for gang in gangs if (told := _attempts(job, gang)) is not None]
    return say(
        "job_is",
        job=job.name,
        state=job.state,
        message=message,
        held=held,
        attempts=attempts[:_MOST_GANGS],
    )


def _attempts(job: Job, gang: Gang) -> Message | None:
    """Which one that is, where others came before it."""
    if job.state in TERMINAL:
        again = job.type != JobType.SERVE and gang.attempt > 1
        return say("attempts", attempts=gang.attempt) if again else None
    if gang.last_end is None or gang.state == JobState.QUEUED:
        return None
    whose = say("the_replica", replica=gang.index) if job.type == JobType.SERVE else say("it")
    last = last_attempt(job, gang)
    if gang.state in TERMINAL:
        return say("no_further_attempt", whose=whose, last=last)
    return say("in_attempt", whose=whose, attempt=gang.attempt, last=last)


def _waits(job: Job, gangs: Sequence[Gang]) -> bool:
    return job.state not in TERMINAL and any(gang.state == JobState.QUEUED for gang in gangs)


def _waiting(
    job: Job,
    gangs: Sequence[Gang],
    serving: Message | None,
    pasts: Mapping[GangId, Message | None],
    wait: Wait | None,
    now: datetime,
) -> Explanation:
    """The answer for the first gang that waits. `serving`: what goes on meanwhile; `pasts`: how
    each gang's last attempt ended.
    """
    waiting = [it for it in gangs if it.state == JobState.QUEUED]
    gang = next(it for it in waiting if wait is None or it.id == str(wait.gang_id))
    why = say("can_start") if wait is None else said(wait.sentence)
    if wait is not None and len(gangs) > 1:
        why = say("replica_waits", replica=gang.index, why=why)
    message = say("job_waits", job=job.name, serving=serving, why=why, last=pasts[gang.id])
    if wait is None:
        return _answer(job, "ready", message, now)
    more = {
        "removals": removals_of(wait), "unblock": list(wait.unblock),
        "queue_position": wait.queue_position, "ahead": list(wait.ahead),
    }  # fmt: skip
    return _answer(job, wait.code.value, message, now).model_copy(update=more)


def _still_serving(job: Job, gangs: Sequence[Gang], num_ready: int) -> Message | None:
    """What goes on while a replica waits, `1 of 2 replicas serve`; None where nothing does."""
    running = num_running(gangs) if job.type == JobType.SERVE else 0
    if 0 < running <= num_ready:
        return say("still_serving", running=running, replicas=len(gangs))
    return how_many_run(gangs, num_ready) if running else None


def _answer(job: Job, code: str, message: Message, now: datetime) -> Explanation:
    return Explanation(
        job=job.name,
        state=job.state,
        code=code,
        sentence=render(message),
        params=message.params,
        as_of=now,
    )
