"""A clock for tests that moves lease time with the wall's, and can be stepped without it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta

from sqlalchemy import delete, insert, select, update
from sqlalchemy.orm import Session

from control_plane.clock import ManualClock
from control_plane.store.models import LeaseClock
from control_plane.store.unit_of_work import Store


def lease_time(store: Store) -> datetime:
    with store.read() as tx:
        return tx.lease_time


@contextmanager
def _writing(store: Store) -> Iterator[Session]:
    """In its turn, like every writer."""
    with store.database.writing(serial=False, patient=True) as session:
        yield session
        session.commit()


class CloudClock(ManualClock):
    """`advance` is time that passes under a leader; `step` is a clock that somebody sets."""

    def __init__(self, start: datetime) -> None:
        super().__init__(start)
        self._store: Store | None = None
        self._stepped_s = 0.0

    def steady(self) -> datetime:
        """What clocks of nodes count by that nobody sets."""
        return self.now() - timedelta(seconds=self._stepped_s)

    def bind(self, store: Store) -> None:
        """Moves this cloud's lease clock from now on, and sets it to the clock's own time."""
        self._store = store
        with _writing(store) as session:
            session.execute(delete(LeaseClock))
            session.execute(insert(LeaseClock).values(id=1, at=self.now()))

    def advance(self, seconds: float) -> None:
        super().advance(seconds)
        if self._store is not None:
            with _writing(self._store) as session:
                at = session.execute(select(LeaseClock.at)).scalar_one()
                moved = at + timedelta(seconds=seconds)
                session.execute(update(LeaseClock).values(at=moved))

    def step(self, seconds: float) -> None:
        super().advance(seconds)
        self._stepped_s += seconds


def steady(clock: ManualClock) -> datetime:
    """What a clock shows that nobody sets."""
    return clock.steady() if isinstance(clock, CloudClock) else clock.now()
