"""Answers why a job is where it is, at any time, from the pool as it is now."""

from __future__ import annotations

from collections.abc import Sequence

from control_plane.domain.job import TERMINAL
from control_plane.services.cancel_job import find_job
from control_plane.services.deps import Caller, Deps
from control_plane.services.wait_document import wait_document
from control_plane.store.models import Gang, Job
from control_plane.store.snapshot_reader import read_pool
from penstock.api.plans import Explanation, Removal
from penstock.api.states import JobState
from scheduler.explain import explain
from scheduler.model import Plan, Snapshot
from scheduler.planner import plan as make_plan
from scheduler.policies.priority_age import POLICY


def explain_job(deps: Deps, caller: Caller, ref: str) -> Explanation:
    """For a waiting job the planner is asked afresh, so the answer is true now, not at the last
    cycle. Raises NotFound.
    """
    now = deps.clock.now()
    with deps.store.read() as tx:
        job = find_job(tx, caller, ref)
        gangs = tx.jobs.gangs(job.id)
        pool = read_pool(tx, now, deps.rules.suspect_after_s) if _waits(job, gangs) else None
    answer = Explanation(
        job=job.name, state=job.state, code=job.reason, sentence=_sentence(job), as_of=now
    )
    if pool is None:
        return answer
    plan = make_plan(pool.snapshot, POLICY, now)
    return _of_plan(answer, job, gangs, pool.snapshot, plan, caller)


def _waits(job: Job, gangs: Sequence[Gang]) -> bool:
    return job.state not in TERMINAL and any(gang.state == JobState.QUEUED for gang in gangs)


def _sentence(job: Job) -> str:
    return f"{job.name} is {job.state}: {job.message}"


def _of_plan(
    answer: Explanation, job: Job, gangs: Sequence[Gang], snapshot: Snapshot, plan: Plan,
    caller: Caller,
) -> Explanation:  # fmt: skip
    queued = {gang.id: gang for gang in snapshot.queued}
    for row in gangs:
        gang = next((it for key, it in queued.items() if key == row.id), None)
        reason = plan.deferrals.get(gang.id) if gang is not None else None
        if gang is None or reason is None:
            continue
        found = explain(reason, gang, snapshot)
        document = wait_document(found)
        ahead = [it for it in found.ahead if caller.is_admin or _is_mine(it, snapshot, caller)]
        return answer.model_copy(
            update={
                "code": document["code"],
                "sentence": f"{job.name} {document['sentence']}",
                "removals": [Removal.model_validate(it) for it in document["removals"]],
                "unblock": document["unblock"],
                "queue_position": found.queue_position,
                "ahead": ahead,
            }
        )
    sentence = f"{job.name} can start now: the next scheduling cycle places it"
    return answer.model_copy(update={"code": "ready", "sentence": sentence})


def _is_mine(name: str, snapshot: Snapshot, caller: Caller) -> bool:
    """Names of other tenants' jobs stay theirs."""
    return any(it.job_name == name and it.project == caller.project for it in snapshot.queued)
