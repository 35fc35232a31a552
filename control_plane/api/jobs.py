"""Routes of jobs: submit, list, read, cancel, retry, explain."""

from __future__ import annotations

from typing import Annotated, Final, Literal

from fastapi import APIRouter, Query
from starlette.responses import Response

from control_plane.api.deps import (
    Cursor,
    DepsParam,
    IdempotencyKey,
    Limit,
    Member,
    Ref,
    Viewer,
    Word,
)
from control_plane.api.replies import reply
from control_plane.api.route import Route
from control_plane.errors import invalid
from control_plane.services.jobs.cancel import cancel_job
from control_plane.services.jobs.explain import explain_job
from control_plane.services.jobs.plan import plan_job
from control_plane.services.jobs.read import (
    get_job,
    list_checkpoints,
    list_jobs,
    list_replicas,
    project_filter,
)
from control_plane.services.jobs.retry import retry_job
from control_plane.services.jobs.submit import submit_job
from control_plane.store.repositories.jobs import JobFilter
from penstock.api.base import Page
from penstock.api.jobs import Checkpoint, Job, Replica
from penstock.api.plans import Explanation, PlanAnswer
from penstock.api.specs import JobSpec
from penstock.api.states import JobState, JobType
from penstock.api.vendors import vendor_table
from penstock.catalogue.violation import violation
from penstock.documents.violations import nearest
from penstock.json_types import Json

router = APIRouter(prefix="/api/v1", route_class=Route, tags=["jobs"])

MAX_LABELS = 16
MADE_BEFORE: Final[dict[int | str, Json]] = {
    200: {"model": Job, "description": "this Idempotency-Key made this job before"}
}
Because = Annotated[
    str | None, Query(min_length=1, max_length=200, description="why, for the message of the job")
]
Labels = Annotated[
    list[str], Query(alias="label", max_length=MAX_LABELS, description="KEY=VALUE, repeatable")
]


@router.post(
    "/jobs", operation_id="submit_job", status_code=201, response_model=Job, responses=MADE_BEFORE
)
def submit(
    spec: JobSpec, caller: Member, deps: DepsParam, idempotency_key: IdempotencyKey = None
) -> Response:
    """Takes in a job. It is stored before the answer is sent."""
    job, created = submit_job(deps, caller, spec, idempotency_key)
    return _made(job, 201 if created else 200)


@router.post("/plan", operation_id="plan_job", response_model=PlanAnswer)
def plan(spec: JobSpec, caller: Viewer, deps: DepsParam) -> Response:
    """Whether the job would fit now, where, and what stands against it. Stores nothing."""
    return reply(plan_job(deps, caller, spec))


@router.get("/jobs", operation_id="list_jobs", response_model=Page[Job])
def list_(
    caller: Viewer,
    deps: DepsParam,
    state: Annotated[list[JobState], Query(default_factory=list)],
    label: Annotated[Labels, Query(default_factory=list)],
    type_: Annotated[JobType | None, Query(alias="type")] = None,
    queue: Word = None,
    project: Word = None,
    chip_vendor: Annotated[
        str | None, Query(max_length=128, description="holds chips of this vendor now")
    ] = None,
    sort: Literal["created_at", "-created_at"] = "-created_at",
    limit: Limit = 100,
    cursor: Cursor = None,
) -> Response:
    """Jobs, the newest first unless `sort` says otherwise."""
    wanted = JobFilter(
        project_id=project_filter(deps, caller, project),
        states=tuple(state),
        type=type_,
        queue=queue,
        labels=dict(sorted(_labels(label).items())),
        chip_vendor=_vendor(chip_vendor),
        oldest_first=sort == "created_at",
    )
    return reply(list_jobs(deps, wanted, limit, cursor))


@router.get("/jobs/{ref}", operation_id="get_job", response_model=Job)
def get(ref: Ref, caller: Viewer, deps: DepsParam) -> Response:
    """A job by id or name: a live one of that name, else the newest."""
    job = get_job(deps, caller, ref)
    return reply(job, version=job.etag)


@router.post("/jobs/{ref}/cancel", operation_id="cancel_job", status_code=202, response_model=Job)
def cancel(ref: Ref, caller: Member, deps: DepsParam, because: Because = None) -> Response:
    """Ends a job. The job's state tells how far that is; asking again changes nothing."""
    job = get_job(deps, caller, cancel_job(deps, caller, ref, because))
    return reply(job, 202, version=job.etag)


@router.post(
    "/jobs/{ref}/retry",
    operation_id="retry_job",
    status_code=201,
    response_model=Job,
    responses=MADE_BEFORE,
)
def retry(
    ref: Ref, caller: Member, deps: DepsParam, idempotency_key: IdempotencyKey = None
) -> Response:
    """Submits an ended job again, as a new job linked by `retry_of`."""
    job, created = retry_job(deps, caller, ref, idempotency_key)
    return _made(job, 201 if created else 200)


@router.get("/jobs/{ref}/explain", operation_id="explain_job", response_model=Explanation)
def explain(ref: Ref, caller: Viewer, deps: DepsParam) -> Response:
    """Why the job is where it is, and what would let it start."""
    return reply(explain_job(deps, caller, ref))


@router.get("/jobs/{ref}/replicas", operation_id="list_job_replicas", response_model=Page[Replica])
def replicas(
    ref: Ref, caller: Viewer, deps: DepsParam, limit: Limit = 100, cursor: Cursor = None
) -> Response:
    """Replicas of all attempts of the job, the newest first."""
    return reply(list_replicas(deps, caller, limit, cursor, job=ref))


@router.get(
    "/jobs/{ref}/checkpoints", operation_id="list_checkpoints", response_model=Page[Checkpoint]
)
def checkpoints(
    ref: Ref, caller: Viewer, deps: DepsParam, limit: Limit = 100, cursor: Cursor = None
) -> Response:
    """Committed checkpoints of the job, the newest first."""
    return reply(list_checkpoints(deps, caller, ref, limit, cursor))


def _made(job: Job, status: int) -> Response:
    return reply(job, status, version=job.etag, location=f"/api/v1/jobs/{job.id}")


def _labels(given: list[str]) -> dict[str, str]:
    wrong = [one for one in given if "=" not in one or one.startswith("=") or len(one) > 513]
    if wrong:
        raise invalid([violation("?label", "key_value", received=one[:80]) for one in wrong])
    return {key: value for key, _, value in (one.partition("=") for one in given)}


def _vendor(name: str | None) -> str | None:
    known = list(vendor_table())
    if name is None or name in known:
        return name
    word, meant = name[:80], nearest(name, known)
    wrong = violation(
        "?chip_vendor",
        "no_such_vendor",
        received=word,
        allowed=known,
        did_you_mean=meant,
        name=word,
    )
    raise invalid([wrong], "unknown_chip")
