"""Rows of leases: who holds which chips and how much of each host."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime

from sqlalchemy import bindparam, select, update
from sqlalchemy.orm import Session

from control_plane.store.models import Lease
from penstock.api.states import LeaseState


class Leases:
    """Leases by replica and node."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def held(self) -> Sequence[Lease]:
        return self._session.scalars(
            select(Lease).where(Lease.state == LeaseState.HELD).order_by(Lease.id)
        ).all()

    def held_on(self, node_id: str) -> Sequence[Lease]:
        return self._session.scalars(
            select(Lease).where(Lease.node_id == node_id, Lease.state == LeaseState.HELD)
        ).all()

    def held_by_jobs(self, job_ids: Collection[str]) -> Sequence[Lease]:
        return self._session.scalars(
            select(Lease).where(Lease.job_id.in_(tuple(job_ids)), Lease.state == LeaseState.HELD)
        ).all()

    def of_replica(self, replica_id: str) -> Lease | None:
        return self._session.scalar(select(Lease).where(Lease.replica_id == replica_id))

    def renew(self, ends: Collection[tuple[str, datetime]]) -> None:
        """Sets the end of each lease (id, expires_at) that is still held."""
        if not ends:
            return
        statement = (
            update(Lease.__table__)  # type: ignore[arg-type]
            .where(Lease.id == bindparam("lease"), Lease.state == LeaseState.HELD)
            .values(expires_at=bindparam("until"))
        )
        self._session.execute(statement, [{"lease": key, "until": end} for key, end in ends])

    def to_roll_up(self, limit: int) -> Sequence[Lease]:
        """Leases whose use is not wholly in the usage table."""
        return self._session.scalars(
            select(Lease)
            .where(
                (Lease.state == LeaseState.HELD)
                | Lease.rolled_up_to.is_(None)
                | (Lease.rolled_up_to < Lease.ended_at)
            )
            .order_by(Lease.id)
            .limit(limit)
        ).all()

    def add(self, row: Lease) -> None:
        self._session.add(row)
