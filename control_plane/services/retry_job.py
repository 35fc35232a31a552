"""Submits an ended job again as a new job linked by `retry_of`."""

from __future__ import annotations

from control_plane.domain.job import TERMINAL
from control_plane.errors import Conflict
from control_plane.services.cancel_job import find_job
from control_plane.services.deps import Caller, Deps
from control_plane.services.submit_job import find_project, make_job
from control_plane.store.models import Job
from control_plane.store.unit_of_work import Transaction
from penstock.api.specs import JobSpec
from penstock.api.states import Role


def retry_job(deps: Deps, caller: Caller, ref: str) -> str:
    """The new job's id. Training goes on from the old job's newest checkpoint, if it has one."""
    caller.require(Role.MEMBER)
    now = deps.clock.now()

    def work(tx: Transaction) -> str:
        old = find_job(tx, caller, ref)
        if old.state not in TERMINAL:
            raise Conflict(
                f"job {old.name} has not ended: it is {old.state}",
                code="job_not_ended",
                hint=f"cancel it first: penstock job cancel {old.name}",
            )
        project = find_project(tx, caller, old.project)
        return make_job(tx, deps, caller, project, _spec(tx, old), now, retry_of=old.id).id

    return deps.run(work)


def _spec(tx: Transaction, old: Job) -> JobSpec:
    spec = JobSpec.model_validate(old.spec)
    if spec.train is None or not tx.jobs.checkpoints(old.id):
        return spec
    train = spec.train.model_copy(update={"resume_from": old.id})
    return spec.model_copy(update={"train": train})
