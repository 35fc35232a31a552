"""Reads jobs, their replicas and their checkpoints, within what the caller may see."""

from __future__ import annotations

from dataclasses import replace

from control_plane.errors import not_found
from control_plane.services.accounts.read_queues import find_queue
from control_plane.services.deps import Caller, Deps
from control_plane.services.jobs.cancel import find_job, find_job_id
from control_plane.services.jobs.replica_views import replica_views
from control_plane.services.jobs.views import checkpoint_view, known_views
from control_plane.services.nodes.read import find_node
from control_plane.store.repositories.jobs import JobFilter
from penstock.api.base import Page
from penstock.api.ids import ProjectId, ReplicaId, noun_of
from penstock.api.jobs import Checkpoint, Job, Replica


def get_job(deps: Deps, caller: Caller, ref: str) -> Job:
    """By id or name. Raises NotFound, also for a job of another tenant."""
    with deps.store.read() as tx:
        job_id = find_job_id(tx, caller, ref)
        return known_views(tx, deps.job_views, [job_id], deps.clock.now())[0]


def list_jobs(deps: Deps, wanted: JobFilter, limit: int, cursor: str | None) -> Page[Job]:
    """One page; `wanted.project_id` is the tenant that it is limited to."""
    with deps.store.read() as tx:
        if wanted.queue is not None and noun_of(wanted.queue) is not None:
            wanted = replace(wanted, queue=find_queue(tx, wanted.queue).name)
        found = tx.jobs.page_of(wanted, limit, cursor)
        items = known_views(tx, deps.job_views, found.rows, deps.clock.now())
        return Page[Job](items=items, next=found.next)


def project_filter(deps: Deps, caller: Caller, name: str | None) -> ProjectId | None:
    """The id of the project to list; None is all. One of another tenant is as if it were not."""
    if name is None:
        return caller.sees
    with deps.store.read() as tx:
        project = tx.projects.find(name)
    if project is None or caller.sees not in (None, project.id):
        raise not_found("project", name)
    return project.id


def list_checkpoints(
    deps: Deps, caller: Caller, ref: str, limit: int, cursor: str | None
) -> Page[Checkpoint]:
    """Committed checkpoints of a job, the newest first."""
    with deps.store.read() as tx:
        job = find_job(tx, caller, ref)
        found = tx.checkpoints.page(limit, cursor, newest_first=True, job_id=job.id)
        items = [checkpoint_view(row, job) for row in found.rows]
        return Page[Checkpoint](items=items, next=found.next)


def get_replica(deps: Deps, caller: Caller, replica_id: ReplicaId) -> Replica:
    """Raises NotFound, also for a replica of another tenant."""
    with deps.store.read() as tx:
        row = tx.replicas.get(replica_id)
        if row is None or caller.sees not in (None, row.project_id):
            raise not_found("replica", replica_id)
        return replica_views(tx, [row])[0]


def list_replicas(
    deps: Deps,
    caller: Caller,
    limit: int,
    cursor: str | None,
    *,
    job: str | None = None,
    node: str | None = None,
    state: str | None = None,
) -> Page[Replica]:
    """The newest first; of one job, on one node, in one state."""
    with deps.store.read() as tx:
        found = tx.replicas.page(
            limit,
            cursor,
            newest_first=True,
            project_id=caller.sees,
            state=state,
            job_id=find_job(tx, caller, job).id if job is not None else None,
            node_id=find_node(tx, node).id if node is not None else None,
        )
        return Page[Replica](items=replica_views(tx, found.rows), next=found.next)
