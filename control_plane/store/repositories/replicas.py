"""Rows of replicas."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from control_plane.domain.replica import LIVE
from control_plane.store.models import Gang, Job, Replica
from penstock.api.states import JobType, ReplicaState

LIVE_STATES = tuple(sorted(LIVE))


class Replicas:
    """Replicas by id, node, gang and job."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def get(self, replica_id: str) -> Replica | None:
        return self._session.get(Replica, replica_id)

    def many(self, replica_ids: Collection[str]) -> dict[str, Replica]:
        rows = self._session.scalars(select(Replica).where(Replica.id.in_(tuple(replica_ids))))
        return {row.id: row for row in rows}

    def live_on(self, node_id: str) -> Sequence[Replica]:
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

    def of_attempt(self, gang_id: str, attempt: int) -> Sequence[Replica]:
        return self._session.scalars(
            select(Replica)
            .where(Replica.gang_id == gang_id, Replica.attempt == attempt)
            .order_by(Replica.rank)
        ).all()

    def of_attempts(self, job_ids: Collection[str]) -> Sequence[Replica]:
        """Those of each of the jobs' gangs' present attempt."""
        return self._session.scalars(
            select(Replica)
            .join(Gang, (Gang.id == Replica.gang_id) & (Gang.attempt == Replica.attempt))
            .where(Replica.job_id.in_(tuple(job_ids)))
            .order_by(Replica.gang_id, Replica.rank)
        ).all()

    def of_job(self, job_id: str) -> Sequence[Replica]:
        return self._session.scalars(
            select(Replica).where(Replica.job_id == job_id).order_by(Replica.id)
        ).all()

    def of_jobs(self, job_ids: Collection[str]) -> Sequence[Replica]:
        return self._session.scalars(
            select(Replica).where(
                Replica.job_id.in_(tuple(job_ids)), Replica.state.in_(LIVE_STATES)
            )
        ).all()

    def advance_log(self, replica_id: str, start: int, end: int) -> bool:
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

    def add(self, row: Replica) -> None:
        self._session.add(row)
