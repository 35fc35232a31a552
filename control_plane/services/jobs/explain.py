"""Answers why a job is where it is, at any time, from the pool as it is now."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from control_plane.domain.job import TERMINAL
from control_plane.services.deps import Caller, Deps
from control_plane.services.endpoints.refresh import ready_replicas
from control_plane.services.gangs.last_attempt import last_attempt
from control_plane.services.gangs.serving_message import serving_message, still_serving
from control_plane.services.gangs.silent_holds import silent_holds
from control_plane.services.jobs.cancel import find_job
from control_plane.services.jobs.plan import removals_of
from control_plane.services.scheduling.hide_names import hide_names
from control_plane.store.models import Gang, Job
from penstock.api.ids import GangId
from penstock.api.plans import Explanation
from penstock.api.states import JobState, JobType
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
        answer = Explanation(
            job=job.name, state=job.state, code=job.reason, as_of=now,
            sentence=_state_sentence(job, gangs, num_ready, silent_holds(tx, job, gangs, now)),
        )  # fmt: skip
        if not _waits(job, gangs):
            return answer
        snapshot = hide_names(deps.read_pool(tx, now).snapshot, caller)
        pasts = {it.id: last_attempt(job, it) for it in gangs}
    wait = explain(snapshot, deps.policy, now, {model.GangId(gang.id) for gang in gangs})
    serving = still_serving(gangs, num_ready) if job.type == JobType.SERVE else ""
    return _waiting(answer, gangs, serving, pasts, wait)


def _state_sentence(job: Job, gangs: Sequence[Gang], num_ready: int, held: Sequence[str]) -> str:
    """Of a job that does not wait: where it is, what is `held` on silent nodes, which attempt that
    is, and what came before.
    """
    serves = job.type == JobType.SERVE and job.state == JobState.RUNNING
    message = serving_message(gangs, num_ready) if serves else job.message
    words = [f"{job.name} is {job.state}: {message}", *held]
    for gang in gangs:
        if job.state in TERMINAL:
            again = job.type != JobType.SERVE
            words += [f"it took {gang.attempt} attempts"] if again and gang.attempt > 1 else []
        elif gang.last_end is not None and gang.state != JobState.QUEUED:
            whose = f"replica {gang.index}" if job.type == JobType.SERVE else "it"
            is_over = gang.state in TERMINAL
            where = "has no further attempt" if is_over else f"is in attempt {gang.attempt}"
            words.append(f"{whose} {where}: {last_attempt(job, gang)}")
    return "; ".join(words[: 1 + len(held) + _MOST_GANGS])


def _waits(job: Job, gangs: Sequence[Gang]) -> bool:
    return job.state not in TERMINAL and any(gang.state == JobState.QUEUED for gang in gangs)


def _waiting(
    answer: Explanation, gangs: Sequence[Gang], serving: str, pasts: Mapping[GangId, str],
    wait: Wait | None,
) -> Explanation:  # fmt: skip
    """The answer for the first gang that waits. `serving`: what goes on meanwhile; `pasts`: how
    each gang's last attempt ended.
    """
    if wait is None:
        past = next((pasts[row.id] for row in gangs if row.state == JobState.QUEUED), "")
        why = "can start now: the next scheduling cycle places it"
        sentence = _sentence(answer, serving, why, past)
        return answer.model_copy(update={"code": "ready", "sentence": sentence})
    (row,) = (it for it in gangs if model.GangId(it.id) == wait.gang_id)
    why = _which(gangs, row, wait.sentence)
    update = {
        "code": wait.code.value, "sentence": _sentence(answer, serving, why, pasts[row.id]),
        "removals": removals_of(wait), "unblock": list(wait.unblock),
        "queue_position": wait.queue_position, "ahead": list(wait.ahead),
    }  # fmt: skip
    return answer.model_copy(update=update)


def _which(gangs: Sequence[Gang], gang: Gang, why: str) -> str:
    """Names the replica that waits where there are others."""
    return why if len(gangs) == 1 else f"replica {gang.index}: {why}"


def _sentence(answer: Explanation, *parts: str) -> str:
    return f"{answer.job}: {'; '.join(filter(None, parts))}"
