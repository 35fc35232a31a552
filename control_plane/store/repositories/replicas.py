"""Rows of replicas."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Sequence
from datetime import datetime
from typing import NamedTuple

from sqlalchemy import func, select, update

from control_plane.domain.replica import LIVE
from control_plane.store.models import Gang, Job, Replica
from control_plane.store.repositories.base import Repository
from control_plane.store.repositories.run_times import Span, covered_s
from penstock.api.ids import GangId, JobId, NodeId, ReplicaId
from penstock.api.states import JobType, ReplicaState
from penstock.json_types import Json

LIVE_STATES = tuple(sorted(LIVE))


class LogEnd(NamedTuple):
    """How far one replica's log goes, without the rest of the row."""

    replica_id: ReplicaId
    gang: int
    attempt: int
    rank: int
    state: str
    end: int
    exit: Json | None
    since: datetime
    """When we heard of its state: the end of a log is waited for from then on."""


class Replicas(Repository[Replica, ReplicaId]):
    """Replicas by id, node, gang and job."""

    model = Replica

    def live_on(self, node_id: NodeId) -> Sequence[Replica]:
        return self._session.scalars(
            select(Replica)
            .where(Replica.node_id == node_id, Replica.state.in_(LIVE_STATES))
            .order_by(Replica.id)
        ).all()

    def unanswering(self) -> Sequence[Replica]:
        """Running replicas of serving jobs that have not been ready yet."""
        return self._session.scalars(
            select(Replica)
            .join(Job, Job.id == Replica.job_id)
            .where(
                Job.type == JobType.SERVE,
                Replica.state == ReplicaState.RUNNING,
                Replica.desired == "run",
                Replica.ready_at.is_(None),
            )
            .order_by(Replica.id)
        ).all()

    def of_attempt(self, gang_id: GangId, attempt: int) -> Sequence[Replica]:
        return self._session.scalars(
            select(Replica)
            .where(Replica.gang_id == gang_id, Replica.attempt == attempt)
            .order_by(Replica.rank)
        ).all()

    def of_attempts(self, job_ids: Collection[JobId]) -> Sequence[Replica]:
        """Those of each of the jobs' gangs' present attempt."""
        return self._session.scalars(
            select(Replica)
            .join(Gang, (Gang.id == Replica.gang_id) & (Gang.attempt == Replica.attempt))
            .where(Replica.job_id.in_(tuple(job_ids)))
            .order_by(Replica.gang_id, Replica.rank)
        ).all()

    def of_job(self, job_id: JobId) -> Sequence[Replica]:
        return self._session.scalars(self._where(job_id=job_id).order_by(Replica.id)).all()

    def live_of(self, job_ids: Collection[JobId]) -> Sequence[Replica]:
        """Those of the jobs that have not ended, in order."""
        return self._session.scalars(
            select(Replica)
            .where(Replica.job_id.in_(tuple(job_ids)), Replica.state.in_(LIVE_STATES))
            .order_by(Replica.gang_index, Replica.rank)
        ).all()

    def run_times(self, job_ids: Collection[JobId], now: datetime) -> dict[JobId, float]:
        """Job id → seconds in which at least one attempt ran, without the waiting in between; a job
        that never ran is left out. One query, however many the jobs are.
        """
        bounds = func.min(Replica.started_at), func.max(Replica.ended_at)
        rows = self._session.execute(
            select(Replica.job_id, *bounds, func.count() - func.count(Replica.ended_at))
            .where(Replica.job_id.in_(tuple(job_ids)))
            .group_by(Replica.job_id, Replica.gang_id, Replica.attempt)
        )
        spans: dict[JobId, list[Span]] = defaultdict(list)
        for job_id, start, end, num_live in rows:
            if start is not None:
                spans[job_id].append((start, now if num_live or end is None else end))
        return {job_id: covered_s(found) for job_id, found in spans.items()}

    def log_ends(self, job_id: JobId) -> Sequence[LogEnd]:
        """The logs of all replicas of a job, in order of gang, attempt and rank."""
        rows = self._session.execute(
            select(
                Replica.id,
                Replica.gang_index,
                Replica.attempt,
                Replica.rank,
                Replica.state,
                Replica.log_bytes,
                Replica.exit,
                Replica.since,
            )
            .where(Replica.job_id == job_id)
            .order_by(Replica.gang_index, Replica.attempt, Replica.rank)
        )
        return [LogEnd(*row) for row in rows]

    def advance_log(self, replica_id: ReplicaId, start: int, end: int) -> bool:
        """Moves the log's end from start to end; False if another writer was there first, or
        the replica was lost meanwhile.
        """
        moved = self._session.execute(
            update(Replica)
            .where(
                Replica.id == replica_id,
                Replica.log_bytes == start,
                Replica.state != ReplicaState.LOST,
            )
            .values(log_bytes=end)
            .returning(Replica.id)
        ).scalar()
        return moved is not None
