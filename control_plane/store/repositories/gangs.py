"""Rows of gangs; what a cycle needs of them comes as plain values."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import func, select

from control_plane.domain.job import PLACED
from control_plane.store.models import Gang, Job
from control_plane.store.repositories.base import Repository
from penstock.api.ids import GangId, JobId
from penstock.api.states import JobState
from penstock.json_types import Json


@dataclass(frozen=True, slots=True)
class WaitingGang:
    """What changes of a waiting gang, and its version; no more columns than that."""

    id: GangId
    job_id: JobId
    index: int
    version: int
    code: str | None
    not_before: datetime | None


@dataclass(frozen=True, slots=True)
class QueuedGang:
    """What a cycle needs of a waiting gang and its job: the same as long as its version is."""

    id: GangId
    job_id: JobId
    version: int
    job_name: str
    project: str
    queue: str
    priority: int
    created_at: datetime
    type: str
    spec: Json
    resolved: Json = field(default_factory=dict)

    @classmethod
    def of(cls, job: Job, gang: Gang) -> QueuedGang:
        """Of rows that need not be in the database."""
        return cls(
            gang.id,
            job.id,
            0,
            job.name,
            job.project,
            job.queue,
            job.priority,
            job.created_at,
            job.type,
            job.spec,
            job.resolved,
        )


@dataclass(frozen=True, slots=True)
class PlacedGang:
    """What a cycle needs of a placed gang and its job: the same as long as its version is."""

    id: GangId
    job_id: JobId
    state: str
    since: datetime
    version: int
    job_name: str
    project: str
    queue: str
    priority: int
    type: str


class Gangs(Repository[Gang, GangId]):
    """Gangs by id, job and state."""

    model = Gang

    def of_job(self, job_id: JobId) -> Sequence[Gang]:
        return self._session.scalars(
            select(Gang).where(Gang.job_id == job_id).order_by(Gang.index)
        ).all()

    def of_jobs(self, job_ids: Collection[JobId]) -> Sequence[Gang]:
        return self._session.scalars(
            select(Gang).where(Gang.job_id.in_(tuple(job_ids))).order_by(Gang.job_id, Gang.index)
        ).all()

    def waiting(self) -> Sequence[WaitingGang]:
        """All that are queued, as plain values: a cycle over a deep queue is bound by this read."""
        code = Gang.wait["code"].as_string()
        query = select(Gang.id, Gang.job_id, Gang.index, Gang.version, code, Gang.not_before)
        query = query.where(Gang.state == JobState.QUEUED).order_by(Gang.id)
        return [WaitingGang(*row) for row in self._session.execute(query)]

    def queued(self, gang_ids: Collection[GangId] | None) -> Sequence[QueuedGang]:
        """What these ask for, or all that are queued."""
        columns = (
            Gang.id,
            Gang.job_id,
            Gang.version,
            Job.name,
            Job.project,
            Job.queue,
            Job.priority,
            Job.created_at,
            Job.type,
            Job.spec,
            Job.resolved,
        )
        query = select(*columns).join(Job, Job.id == Gang.job_id)
        mine = Gang.state == JobState.QUEUED
        if gang_ids is not None:
            mine = Gang.id.in_(tuple(gang_ids))
        return [QueuedGang(*row) for row in self._session.execute(query.where(mine))]

    def any_queued(self) -> bool:
        query = select(Gang.id).where(Gang.state == JobState.QUEUED).limit(1)
        return self._session.scalar(query) is not None

    def placed_versions(self) -> Sequence[tuple[GangId, int]]:
        """(id, version) of all that hold chips."""
        query = select(Gang.id, Gang.version).where(Gang.state.in_(PLACED)).order_by(Gang.id)
        return [(row[0], row[1]) for row in self._session.execute(query)]

    def placed(self, gang_ids: Collection[GangId] | None) -> Mapping[GangId, PlacedGang]:
        """These, or all that hold chips, as plain values."""
        columns: tuple[Any, ...] = (
            Gang.id,
            Gang.job_id,
            Gang.state,
            Gang.since,
            Gang.version,
            Job.name,
            Job.project,
            Job.queue,
            Job.priority,
            Job.type,
        )
        query = select(*columns).join(Job, Job.id == Gang.job_id)
        mine = Gang.state.in_(PLACED) if gang_ids is None else Gang.id.in_(tuple(gang_ids))
        return {row[0]: PlacedGang(*row) for row in self._session.execute(query.where(mine))}

    def any_due(self, now: datetime) -> bool:
        """Whether a queued gang's back-off has just ended without anybody telling."""
        query = select(Gang.id).where(Gang.state == JobState.QUEUED, Gang.not_before <= now)
        return self._session.scalar(query.limit(1)) is not None

    def attempts(self, job_ids: Collection[JobId]) -> dict[JobId, int]:
        """Job id → number of the newest attempt of any of its gangs; 0 before the first."""
        rows = self._session.execute(
            select(Gang.job_id, func.max(Gang.attempt))
            .where(Gang.job_id.in_(tuple(job_ids)))
            .group_by(Gang.job_id)
        )
        return {row[0]: row[1] for row in rows}
