"""Reads events: pages of what happened, and what followers of a stream have not seen yet."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from control_plane.domain.job import TERMINAL
from control_plane.errors import not_found
from control_plane.services.deps import Caller, Deps
from control_plane.services.jobs.cancel import find_job
from control_plane.services.jobs.event_views import event_views
from control_plane.services.jobs.views import job_end
from penstock.api.base import Page
from penstock.api.ids import JobId
from penstock.api.jobs import Event, JobEnd

BATCH: Final = 200


@dataclass(frozen=True, slots=True)
class EventBatch:
    """What is new. `final` tells of a job that has ended and has no more events."""

    events: Sequence[Event]
    more: bool
    final: JobEnd | None = None


def list_events(
    deps: Deps, caller: Caller, limit: int, cursor: str | None, oldest_first: bool
) -> Page[Event]:
    """Events of all objects that the caller may see."""
    with deps.store.read() as tx:
        found = tx.events.page(limit, cursor, newest_first=not oldest_first, project_id=caller.sees)
        return Page[Event](items=event_views(tx, found.rows), next=found.next)


def list_job_events(
    deps: Deps, caller: Caller, ref: str, limit: int, cursor: str | None
) -> Page[Event]:
    """Events of one job from the first on. Raises NotFound."""
    with deps.store.read() as tx:
        job = find_job(tx, caller, ref)
        found = tx.events.page_of(job.id, limit, cursor)
        return Page[Event](items=event_views(tx, found.rows), next=found.next)


def newest_event(deps: Deps) -> int:
    """The id that a stream of what happens from now on starts after."""
    with deps.store.read() as tx:
        return tx.events.last_id()


def events_after(deps: Deps, caller: Caller, event_id: int) -> EventBatch:
    """Events of all objects that the caller may see, after that id."""
    with deps.store.read() as tx:
        rows = tx.events.after(event_id, caller.sees, BATCH)
        return EventBatch(event_views(tx, rows), more=len(rows) == BATCH)


def job_events_after(deps: Deps, job_id: JobId, seq: int) -> EventBatch:
    """Events of one job after that number. The job is read first: its last event is then seen."""
    with deps.store.read() as tx:
        job = tx.jobs.get(job_id)
        if job is None:
            raise not_found("job", job_id)
        end = job_end(job) if job.state in TERMINAL else None
        rows = tx.events.of_object(job_id, seq, BATCH)
        more = len(rows) == BATCH
        return EventBatch(event_views(tx, rows), more=more, final=None if more else end)
