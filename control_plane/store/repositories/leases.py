"""Rows of leases: who holds which chips and how much of each host."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import case, select, update

from control_plane.store.models import Lease, Replica
from control_plane.store.repositories.base import Repository
from penstock.api.ids import GangId, JobId, LeaseId, NodeId, ReplicaId
from penstock.api.states import LeaseState
from penstock.json_types import Json


@dataclass(frozen=True, slots=True)
class HeldLease:
    """What a cycle needs of a held lease; none of it changes."""

    id: LeaseId
    job_id: JobId
    gang_id: GangId
    node_id: NodeId
    queue: str
    chips: list[Json]
    cores_milli: int
    memory_bytes: int


class Leases(Repository[Lease, LeaseId]):
    """Leases by replica and node."""

    model = Lease

    def held(self) -> Sequence[Lease]:
        return self._session.scalars(
            select(Lease).where(Lease.state == LeaseState.HELD).order_by(Lease.id)
        ).all()

    def standing(self) -> Sequence[tuple[LeaseId, str, str]]:
        """(id, state of its replica, what is desired of that) of all that are held: a cycle over a
        full pool is bound by this read.
        """
        query = select(Lease.id, Replica.state, Replica.desired)
        query = query.join(Replica, Replica.id == Lease.replica_id)
        rows = self._session.execute(query.where(Lease.state == LeaseState.HELD).order_by(Lease.id))
        return [(row[0], row[1], row[2]) for row in rows]

    def holds(self, lease_ids: Collection[LeaseId] | None) -> Sequence[HeldLease]:
        """What these hold, or all that are held, as plain values."""
        columns = (
            Lease.id,
            Lease.job_id,
            Replica.gang_id,
            Lease.node_id,
            Lease.queue,
            Lease.chips,
            Lease.cores_milli,
            Lease.memory_bytes,
        )
        query = select(*columns).join(Replica, Replica.id == Lease.replica_id)
        mine = Lease.state == LeaseState.HELD
        if lease_ids is not None:
            mine = Lease.id.in_(tuple(lease_ids))
        return [HeldLease(*row) for row in self._session.execute(query.where(mine))]

    def held_on_any(self, node_ids: Collection[NodeId]) -> Sequence[Lease]:
        return self._session.scalars(
            select(Lease).where(Lease.node_id.in_(tuple(node_ids)), Lease.state == LeaseState.HELD)
        ).all()

    def held_on(self, node_id: NodeId) -> Sequence[Lease]:
        return self.held_on_any([node_id])

    def held_by_jobs(self, job_ids: Collection[JobId]) -> Sequence[Lease]:
        return self._session.scalars(
            select(Lease).where(Lease.job_id.in_(tuple(job_ids)), Lease.state == LeaseState.HELD)
        ).all()

    def of_replica(self, replica_id: ReplicaId) -> Lease | None:
        return self._session.scalar(select(Lease).where(Lease.replica_id == replica_id))

    def renew(self, lease_ids: Collection[LeaseId], expires_at: datetime) -> set[LeaseId]:
        """Moves the end of those that are still held on, never back, and says which these are."""
        later = case((Lease.expires_at < expires_at, expires_at), else_=Lease.expires_at)
        renewed = self._session.execute(
            update(Lease)
            .where(Lease.id.in_(sorted(lease_ids)), Lease.state == LeaseState.HELD)
            .values(expires_at=later)
            .returning(Lease.id),
            execution_options={"synchronize_session": "fetch"},
        ).scalars()
        return set(renewed)

    def begin(self, replica_id: ReplicaId, now: datetime) -> None:
        """Its replica runs."""
        mine = update(Lease).where(Lease.replica_id == replica_id, Lease.began_at.is_(None))
        self._session.execute(mine.values(began_at=now))

    def end(
        self, lease_id: LeaseId, to: LeaseState, now: datetime, expires_at: datetime | None = None
    ) -> bool:
        """Ends a held lease; False if it ended, or was renewed past `expires_at`, meanwhile."""
        ending = (
            update(Lease)
            .where(Lease.id == lease_id, Lease.state == LeaseState.HELD)
            .values(state=to, ended_at=now)
            .returning(Lease.id)
        )
        if expires_at is not None:
            ending = ending.where(Lease.expires_at == expires_at)
        return self._session.scalar(ending) is not None

    def to_roll_up(self, now: datetime, limit: int) -> Sequence[Lease]:
        """Leases whose use up to now is not wholly in the usage table."""
        held_longer = Lease.ended_at.is_(None) & (Lease.rolled_up_to < now)
        return self._session.scalars(
            select(Lease)
            .where(
                Lease.rolled_up_to.is_(None) | held_longer | (Lease.rolled_up_to < Lease.ended_at)
            )
            .order_by(Lease.id)
            .limit(limit)
        ).all()
