"""Rows of jobs and of their checkpoints."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Select, bindparam, func, select

from control_plane.domain.job import LIVE, PLACED
from control_plane.store.models import Checkpoint, Event, Gang, Job, Lease
from control_plane.store.repositories.base import Repository, ScopedRows
from control_plane.store.repositories.paging import Slice, page_of
from penstock.api.ids import CheckpointId, JobId, ProjectId
from penstock.api.states import JobState

LIVE_STATES = tuple(sorted(LIVE))
_NAMED = (Job.project_id == bindparam("project_id")) & (Job.name == bindparam("name"))
_PROJECT: Final = select(Job.project_id).where(Job.id == bindparam("id"))
_LIVE: Final = select(Job.id).where(_NAMED, Job.state.in_(LIVE_STATES))


@dataclass(frozen=True, slots=True)
class JobFilter:
    """Which jobs of a list; empty fields do not filter. `project_id` None means all."""

    project_id: ProjectId | None = None
    states: tuple[str, ...] = ()
    type: str | None = None
    queue: str | None = None
    labels: dict[str, str] = field(default_factory=dict)
    chip_vendor: str | None = None
    oldest_first: bool = False


class Jobs(ScopedRows[Job, JobId]):
    """Jobs by id, and by name within a project."""

    model = Job
    alive = Job.state.in_(LIVE_STATES)

    def is_live(self, project_id: ProjectId, name: str) -> bool:
        """Whether a job of that name is."""
        return self._first(_LIVE, project_id=project_id, name=name) is not None

    def page_of(self, wanted: JobFilter, limit: int, cursor: str | None) -> Slice[JobId]:
        """Their ids."""
        query: Select[Any] = self._filtered(wanted).with_only_columns(Job.id)
        of, newest_first = (Job.__tablename__, wanted), not wanted.oldest_first
        return page_of(
            self._session, query, Job.id, limit, cursor, of=of, newest_first=newest_first
        )

    def is_of(self, job_id: JobId, project_id: ProjectId | None) -> bool:
        """Whether it is there, in that project or in any."""
        row = self._first(_PROJECT, id=job_id)
        return row is not None and project_id in (None, row.project_id)

    def in_state(self, states: Collection[JobState]) -> Sequence[Job]:
        return self._session.scalars(
            select(Job).where(Job.state.in_(tuple(states))).order_by(Job.id)
        ).all()

    def ended_before(
        self, before: datetime, states: Collection[JobState], limit: int
    ) -> Sequence[Job]:
        """Those of which events from before then are left."""
        has_events = select(Event.id).where(Event.object_id == Job.id, Event.at < before).exists()
        return self._session.scalars(
            select(Job)
            .where(Job.state.in_(tuple(states)), Job.ended_at < before, has_events)
            .order_by(Job.ended_at)
            .limit(limit)
        ).all()

    def _filtered(self, wanted: JobFilter) -> Select[Job]:
        only = {"project_id": wanted.project_id, "type": wanted.type, "queue": wanted.queue}
        query = self._where(**{name: value or None for name, value in only.items()})
        if wanted.states:
            query = query.where(Job.state.in_(wanted.states))
        for key, value in wanted.labels.items():
            query = query.where(Job.labels[key].as_string() == value)
        if wanted.chip_vendor:
            query = query.where(Job.id.in_(self._jobs_holding(wanted.chip_vendor)))
        return query

    def _jobs_holding(self, vendor: str) -> list[JobId]:
        held = self._session.execute(select(Lease.job_id, Lease.chips).where(Lease.state == "held"))
        return sorted({job for job, chips in held if any(c["vendor"] == vendor for c in chips)})


class Checkpoints(Repository[Checkpoint, CheckpointId]):
    """Committed checkpoints."""

    model = Checkpoint

    def of_job(self, job_id: JobId) -> Sequence[Checkpoint]:
        """Newest first."""
        return self._session.scalars(
            select(Checkpoint)
            .where(Checkpoint.job_id == job_id)
            .order_by(Checkpoint.step.desc(), Checkpoint.epoch.desc())
        ).all()

    def intact(self, job_id: JobId) -> Sequence[Checkpoint]:
        """Newest first; without those that could not be resumed."""
        return [it for it in self.of_job(job_id) if it.damaged is None]

    def newest_of_name(self, name: str, project_id: ProjectId) -> Checkpoint | None:
        """The newest one of the newest job of that name that has an intact one."""
        return self._session.scalar(
            select(Checkpoint)
            .join(Job, Job.id == Checkpoint.job_id)
            .where(Job.name == name, Job.project_id == project_id, Checkpoint.damaged.is_(None))
            .order_by(Job.id.desc(), Checkpoint.step.desc(), Checkpoint.epoch.desc())
            .limit(1)
        )

    def last_commits(self) -> dict[JobId, datetime]:
        """Placed job → when its newest checkpoint was committed."""
        placed = select(Gang.job_id).where(Gang.state.in_(PLACED))
        rows = self._session.execute(
            select(Checkpoint.job_id, func.max(Checkpoint.committed_at))
            .where(Checkpoint.job_id.in_(placed))
            .group_by(Checkpoint.job_id)
        )
        return {row[0]: row[1] for row in rows}
