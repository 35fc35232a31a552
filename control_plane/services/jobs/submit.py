"""Takes in a job: resolves it, and commits it as queued with its event before answering."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from urllib.parse import urlsplit

from control_plane.errors import Conflict, QuotaExceeded, invalid, not_found
from control_plane.hints.topics import SUBMITTED
from control_plane.ids import new_id
from control_plane.services.deps import Caller, Deps
from control_plane.services.gangs.moves import stated
from control_plane.services.jobs.idempotency import made_before, remember
from control_plane.services.jobs.resolve import check_spec, resolve_work
from control_plane.services.jobs.views import job_view, new_job_view
from control_plane.services.webhooks.addresses import may_be_public
from control_plane.store.models import Endpoint, Gang, Job
from control_plane.store.repositories.base import Named
from control_plane.store.unit_of_work import Transaction
from penstock.api.ids import EndpointId, GangId, JobId
from penstock.api.jobs import Job as JobView
from penstock.api.messages import say
from penstock.api.specs import JobSpec
from penstock.api.states import EndpointState, JobState, Role
from penstock.catalogue.violation import violation

DEFAULT_PROJECT = "default"


def submit_job(
    deps: Deps, caller: Caller, spec: JobSpec, idempotency_key: str | None
) -> tuple[JobView, bool]:
    """(the job, whether it is new). The same key with the same body is the same job.

    Raises Conflict for a key with another body and for a name that a live job has, NotFound for
    a project the caller does not see, Invalid for a spec that can never mean anything.
    """
    caller.require(Role.MEMBER)
    now, body = deps.clock.now(), spec.model_dump_json()

    def work(tx: Transaction) -> tuple[JobView, bool]:
        project = find_project(tx, caller, spec.project)
        known = made_before(tx, project, idempotency_key, body)
        if known is not None:
            return job_view(tx, known, now), False
        job = make_job(tx, deps, caller, project, spec, now)
        remember(tx, idempotency_key, body, project, job.id, now)
        return job, True

    return deps.run(work)


@dataclass(frozen=True, slots=True)
class BuiltJob:
    """A job's rows, before they are in the database."""

    job: Job
    spec: JobSpec
    gangs: Sequence[Gang]
    endpoint: Endpoint | None


def make_job(
    tx: Transaction,
    deps: Deps,
    caller: Caller,
    project: Named,
    spec: JobSpec,
    now: datetime,
    retry_of: JobId | None = None,
) -> JobView:
    """Adds the job with its gangs, its endpoint and its first event."""
    built = build_job(tx, deps, caller, project, spec, now, retry_of)
    job, endpoint = built.job, built.endpoint
    tx.jobs.insert(job)
    for gang in built.gangs:
        tx.gangs.insert(gang)
    if endpoint is not None:
        tx.endpoints.insert(endpoint)
        tx.events.append(
            "endpoint",
            endpoint.id,
            job.project_id,
            "endpoint.pending",
            endpoint.coded_message,
            now,
            is_first=True,
        )
    by = say("submitted_by", by=caller.name)
    tx.events.append("job", job.id, project.id, "job.queued", by, now, is_first=True)
    tx.hints.add(SUBMITTED)
    return new_job_view(job, built.spec, now)


def build_job(
    tx: Transaction,
    deps: Deps,
    caller: Caller,
    project: Named,
    spec: JobSpec,
    now: datetime,
    retry_of: JobId | None = None,
) -> BuiltJob:
    """Checks and resolves the spec. Reads only; raises as `submit_job` does."""
    spec = check_spec(tx, spec)
    _check_room(tx, deps)
    _check_priority(deps, caller, spec)
    _check_webhook(deps, spec)
    job_id = new_id(JobId)
    name = spec.name or f"{spec.type}-{job_id[-8:]}"
    if tx.jobs.is_live(project.id, name):
        raise Conflict("job_name_taken", name=name)
    spec = spec.model_copy(update={"name": name, "project": project.name})
    job = _job(job_id, name, caller, project, spec, now, retry_of)
    job.resolved = resolve_work(tx, job, spec)
    gangs = [_gang(job, index, now) for index in range(num_gangs(spec))]
    return BuiltJob(job, spec, gangs, _endpoint(tx, job, spec, now))


def num_gangs(spec: JobSpec) -> int:
    """One gang for a training or task job, one per replica for a serving job."""
    return spec.serve.replicas if spec.serve is not None else 1


def find_project(tx: Transaction, caller: Caller, name: str | None) -> Named:
    """The named project, or the caller's own; one of another tenant is as if it were not."""
    wanted = name or caller.project or DEFAULT_PROJECT
    project = tx.projects.lookup(wanted)
    if project is None or (not caller.is_admin and project.id != caller.project_id):
        raise not_found("project", wanted)
    return project


def _check_room(tx: Transaction, deps: Deps) -> None:
    queued = tx.counts.num_jobs(JobState.QUEUED)
    if queued >= deps.rules.max_queued_jobs:
        raise QuotaExceeded("queue_full", queued=queued)


def _check_priority(deps: Deps, caller: Caller, spec: JobSpec) -> None:
    most = deps.rules.max_member_priority
    if spec.priority > most and not caller.is_admin:
        wrong = violation("/priority", "less_than_equal", received=spec.priority, le=most)
        raise invalid([wrong], "priority_too_high")


def _check_webhook(deps: Deps, spec: JobSpec) -> None:
    """One that is sure to be dropped later is refused now."""
    if spec.notify is None or deps.rules.allows_private_webhooks:
        return
    try:
        host = urlsplit(spec.notify.webhook).hostname or ""
    except ValueError:
        host = ""
    if not host or not may_be_public(host):
        place, word = "/notify/webhook", host[:80]
        raise invalid([violation(place, "not_public", received=word, host=word)])


def _job(
    job_id: JobId,
    name: str,
    caller: Caller,
    project: Named,
    spec: JobSpec,
    now: datetime,
    retry_of: JobId | None,
) -> Job:
    return Job(
        id=job_id,
        project_id=project.id,
        project=project.name,
        name=name,
        queue=spec.queue,
        type=spec.type,
        priority=spec.priority,
        spec=spec.model_dump(mode="json", exclude_none=True),
        resolved={},
        labels=dict(spec.labels),
        **stated(JobState.QUEUED, say("submitted"), now),
        outcome=None,
        cancel_requested=False,
        progress=None,
        result={},
        exit_code=None,
        exit_reason=None,
        retry_of=retry_of,
        created_by=caller.name,
        created_at=now,
        started_at=None,
        ended_at=None,
        version=1,
    )


def _gang(job: Job, index: int, now: datetime) -> Gang:
    return Gang(
        id=new_id(GangId),
        job_id=job.id,
        index=index,
        attempt=0,
        **stated(JobState.QUEUED, job.coded_message, now),
        outcome=None,
        exit_code=None,
        exit_reason=None,
        own_failures=0,
        infrastructure_failures=0,
        failures_in_a_row=0,
        not_before=None,
        wait=None,
        last_end=None,
        master=None,
    )


def _endpoint(tx: Transaction, job: Job, spec: JobSpec, now: datetime) -> Endpoint | None:
    if spec.serve is None:
        return None
    name = spec.serve.endpoint or job.name
    other = tx.endpoints.find(name, job.project_id)
    if other is not None and other.state != EndpointState.CLOSED:
        raise Conflict("endpoint_name_taken", name=name)
    return Endpoint(
        id=new_id(EndpointId),
        project_id=job.project_id,
        project=job.project,
        name=name,
        job_id=job.id,
        model=spec.serve.model,
        manifest_sha256=job.resolved.get("manifest_sha256"),
        num_replicas=spec.serve.replicas,
        **stated(EndpointState.PENDING, say("none_ready"), now, "submitted"),
        created_at=now,
    )
