"""The row of the lease clock: read by who grants, renews, ends or meters; moved by the leader."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from control_plane.store.models import Gang, Leader, Lease, LeaseClock
from penstock.api.states import JobState, LeaseState


class LeaseTime:
    """The clock of one transaction, and what it is moved by."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def now(self) -> datetime:
        return self._session.scalars(select(LeaseClock.at)).one()

    def is_needed(self) -> bool:
        """Whether something ends by it soon: a lease, or a back-off."""
        held = select(Lease.id).where(Lease.state == LeaseState.HELD).limit(1)
        waits = select(Gang.id).where(Gang.state == JobState.QUEUED, Gang.not_before.is_not(None))
        return any(self._session.scalar(it) is not None for it in (held, waits.limit(1)))

    def lock(self, leader: str, epoch: int) -> datetime | None:
        """The time, for the leader of this epoch alone: until the transaction ends nobody else
        leads or moves it. None once the epoch is over.
        """
        leads = select(Leader.epoch).where(Leader.name == leader).with_for_update(read=True)
        if self._session.scalar(leads) != epoch:
            return None
        return self._session.scalars(select(LeaseClock.at).with_for_update()).one()

    def set(self, at: datetime) -> None:
        """Only ever forward."""
        self._session.execute(update(LeaseClock).where(LeaseClock.at < at).values(at=at))
