"""Submits an ended job again as a new job linked by `retry_of`."""

from __future__ import annotations

from control_plane.domain.job import TERMINAL
from control_plane.errors import Conflict
from control_plane.services.deps import Caller, Deps
from control_plane.services.jobs.cancel import find_job
from control_plane.services.jobs.idempotency import made_before, remember
from control_plane.services.jobs.submit import find_project, make_job
from control_plane.services.jobs.views import job_view
from control_plane.store.models import Job as JobRow
from control_plane.store.unit_of_work import Transaction
from penstock.api.ids import noun_of
from penstock.api.jobs import Job
from penstock.api.specs import JobSpec
from penstock.api.states import Role


def retry_job(
    deps: Deps, caller: Caller, ref: str, idempotency_key: str | None
) -> tuple[Job, bool]:
    """(the new job, whether it is new). The same key with the same `ref` is the same new job.

    Training goes on from the old job's newest checkpoint, if it has one before the end.
    """
    caller.require(Role.MEMBER)
    # Not the old job's id: by its name, a repeat finds the new job.
    now, body = deps.clock.now(), f"retry {ref}"

    def work(tx: Transaction) -> tuple[Job, bool]:
        old = find_job(tx, caller, ref)
        project = find_project(tx, caller, old.project)
        known = made_before(tx, project, idempotency_key, body)
        if known is not None:
            return job_view(tx, known, now), False
        if old.state not in TERMINAL:
            raise Conflict("job_not_ended", job=old.name, state=old.state)
        job = make_job(tx, deps, caller, project, _spec(tx, old), now, retry_of=old.id)
        remember(tx, idempotency_key, body, project, job.id, now)
        return job, True

    return deps.run(work)


def _spec(tx: Transaction, old: JobRow) -> JobSpec:
    spec = _without_names_like_ids(JobSpec.model_validate(old.spec))
    if spec.train is None:
        return spec
    newest = next(iter(tx.checkpoints.intact(old.id)), None)
    if newest is None or newest.step >= spec.train.steps:
        return spec
    train = spec.train.model_copy(update={"resume_from": old.id})
    return spec.model_copy(update={"train": train})


def _without_names_like_ids(spec: JobSpec) -> JobSpec:
    """Jobs of before may have such names, new ones may not."""
    if spec.name is not None and noun_of(spec.name) is not None:
        spec = spec.model_copy(update={"name": None})
    if spec.serve is not None and noun_of(spec.serve.endpoint or "") is not None:
        serve = spec.serve.model_copy(update={"endpoint": None})
        spec = spec.model_copy(update={"serve": serve})
    return spec
