"""Rows of jobs, their gangs and their checkpoints."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import Select, func, select
from sqlalchemy.orm import Session

from control_plane.domain.job import LIVE, PLACED
from control_plane.store.models import Checkpoint, Event, Gang, Job, Lease
from control_plane.store.repositories.paging import Slice, page_of
from control_plane.store.repositories.references import best_match
from penstock.api.states import JobState

LIVE_STATES = tuple(sorted(LIVE))


@dataclass(frozen=True, slots=True)
class JobFilter:
    """Which jobs of a list; empty fields do not filter. `project_id` None means all."""

    project_id: str | None = None
    states: tuple[str, ...] = ()
    type: str | None = None
    queue: str | None = None
    labels: dict[str, str] = field(default_factory=dict)
    chip_vendor: str | None = None
    oldest_first: bool = False


@dataclass(frozen=True, slots=True)
class WaitingGang:
    """What changes of a waiting gang, and its version; no more columns than that."""

    id: str
    job_id: str
    index: int
    version: int
    wait: dict[str, Any] | None
    not_before: datetime | None


@dataclass(frozen=True, slots=True)
class QueuedGang:
    """What a cycle needs of a waiting gang and its job: the same as long as its version is."""

    id: str
    job_id: str
    version: int
    job_name: str
    project: str
    queue: str
    priority: int
    created_at: datetime
    type: str
    spec: dict[str, Any]
    resolved: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, job: Job, gang: Gang) -> QueuedGang:
        """Of rows that need not be in the database."""
        return cls(
            gang.id, job.id, 0, job.name, job.project, job.queue, job.priority, job.created_at,
            job.type, job.spec, job.resolved,
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class PlacedGang:
    """What a cycle needs of a gang that holds chips, and of its job."""

    id: str
    job_id: str
    state: str
    since: datetime
    version: int
    job_name: str
    project: str
    queue: str
    priority: int
    type: str


class Jobs:
    """Jobs by id or by name within a project."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def get(self, job_id: str) -> Job | None:
        return self._session.get(Job, job_id)

    def find(self, ref: str, project_id: str | None) -> Job | None:
        """By id, or the live job of that name, else the newest. Raises Ambiguous."""
        live = Job.state.in_(LIVE_STATES)
        found: Job | None = best_match(self._session, Job, ref, project_id, live)
        return found

    def many(self, job_ids: Collection[str]) -> Sequence[Job]:
        return self._session.scalars(select(Job).where(Job.id.in_(tuple(job_ids)))).all()

    def live_named(self, project_id: str, name: str) -> Job | None:
        return self._session.scalar(
            select(Job).where(
                Job.project_id == project_id, Job.name == name, Job.state.in_(LIVE_STATES)
            )
        )

    def page(self, wanted: JobFilter, limit: int, cursor: str | None) -> Slice[Job]:
        return page_of(
            self._session, self._filtered(wanted), Job.id, limit, cursor, of=("jobs", wanted),
            newest_first=not wanted.oldest_first,
        )  # fmt: skip

    def in_state(self, states: Collection[JobState]) -> Sequence[Job]:
        return self._session.scalars(
            select(Job).where(Job.state.in_(tuple(states))).order_by(Job.id)
        ).all()

    def ended_before(
        self, before: datetime, states: Collection[JobState], limit: int
    ) -> Sequence[Job]:
        """Those of which events from before then are left."""
        told = select(Event.id).where(Event.object_id == Job.id, Event.at < before).exists()
        return self._session.scalars(
            select(Job)
            .where(Job.state.in_(tuple(states)), Job.ended_at < before, told)
            .order_by(Job.ended_at)
            .limit(limit)
        ).all()

    def num_in(self, state: JobState) -> int:
        """By the index on the state: does not grow with the jobs that have ended."""
        return self._session.scalar(select(func.count(Job.id)).where(Job.state == state)) or 0

    def counts(self) -> dict[tuple[str, str], int]:
        """(state, queue) → number of jobs."""
        rows = self._session.execute(
            select(Job.state, Job.queue, func.count()).group_by(Job.state, Job.queue)
        )
        return {(state, queue): number for state, queue, number in rows}

    def gang(self, gang_id: str) -> Gang | None:
        return self._session.get(Gang, gang_id)

    def gangs(self, job_id: str) -> Sequence[Gang]:
        return self._session.scalars(
            select(Gang).where(Gang.job_id == job_id).order_by(Gang.index)
        ).all()

    def gangs_of(self, job_ids: Collection[str]) -> Sequence[Gang]:
        return self._session.scalars(
            select(Gang).where(Gang.job_id.in_(tuple(job_ids))).order_by(Gang.job_id, Gang.index)
        ).all()

    def waiting_gangs(self) -> Sequence[WaitingGang]:
        """All that are queued, as plain values: a cycle over a deep queue is bound by this read."""
        columns = (Gang.id, Gang.job_id, Gang.index, Gang.version, Gang.wait, Gang.not_before)
        query = select(*columns).where(Gang.state == JobState.QUEUED).order_by(Gang.id)
        return [WaitingGang(*row) for row in self._session.execute(query)]

    def queued_gangs(self, gang_ids: Collection[str]) -> Sequence[QueuedGang]:
        """What these ask for."""
        columns: tuple[Any, ...] = (
            Gang.id, Gang.job_id, Gang.version, Job.name, Job.project, Job.queue, Job.priority,
            Job.created_at, Job.type, Job.spec, Job.resolved,
        )  # fmt: skip
        query = select(*columns).join(Job, Job.id == Gang.job_id)
        rows = self._session.execute(query.where(Gang.id.in_(tuple(gang_ids))))
        return [QueuedGang(*row) for row in rows]

    def has_queued_gang(self) -> bool:
        query = select(Gang.id).where(Gang.state == JobState.QUEUED).limit(1)
        return self._session.scalar(query) is not None

    def placed_gangs(self) -> Sequence[PlacedGang]:
        """All of them, as plain values."""
        columns: tuple[Any, ...] = (
            Gang.id, Gang.job_id, Gang.state, Gang.since, Gang.version,
            Job.name, Job.project, Job.queue, Job.priority, Job.type,
        )  # fmt: skip
        query = select(*columns).join(Job, Job.id == Gang.job_id).where(Gang.state.in_(PLACED))
        return [PlacedGang(*row) for row in self._session.execute(query.order_by(Gang.id))]

    def has_due_gang(self, now: datetime) -> bool:
        """Whether a queued gang's back-off has just ended without anybody telling."""
        query = select(Gang.id).where(Gang.state == JobState.QUEUED, Gang.not_before <= now)
        return self._session.scalar(query.limit(1)) is not None

    def checkpoints(self, job_id: str) -> Sequence[Checkpoint]:
        """Newest first."""
        return self._session.scalars(
            select(Checkpoint)
            .where(Checkpoint.job_id == job_id)
            .order_by(Checkpoint.step.desc(), Checkpoint.epoch.desc())
        ).all()

    def last_commits(self) -> dict[str, datetime]:
        """Placed job → when its newest checkpoint was committed."""
        placed = select(Gang.job_id).where(Gang.state.in_(PLACED))
        rows = self._session.execute(
            select(Checkpoint.job_id, func.max(Checkpoint.committed_at))
            .where(Checkpoint.job_id.in_(placed))
            .group_by(Checkpoint.job_id)
        )
        return {row[0]: row[1] for row in rows}

    def checkpoint(self, checkpoint_id: str) -> Checkpoint | None:
        return self._session.get(Checkpoint, checkpoint_id)

    def add(self, row: Job | Gang | Checkpoint) -> None:
        self._session.add(row)

    def _filtered(self, wanted: JobFilter) -> Select[Job]:
        query = select(Job)
        if wanted.project_id is not None:
            query = query.where(Job.project_id == wanted.project_id)
        if wanted.states:
            query = query.where(Job.state.in_(wanted.states))
        if wanted.type:
            query = query.where(Job.type == wanted.type)
        if wanted.queue:
            query = query.where(Job.queue == wanted.queue)
        for key, value in wanted.labels.items():
            query = query.where(Job.labels[key].as_string() == value)
        if wanted.chip_vendor:
            query = query.where(Job.id.in_(self._jobs_holding(wanted.chip_vendor)))
        return query

    def _jobs_holding(self, vendor: str) -> list[str]:
        held = self._session.execute(select(Lease.job_id, Lease.chips).where(Lease.state == "held"))
        return sorted({job for job, chips in held if any(c["vendor"] == vendor for c in chips)})
