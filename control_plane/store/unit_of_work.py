"""One transaction with the repositories in it. Reads and writes say which they are."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from functools import cached_property
from typing import TypeVar

from sqlalchemy.exc import IntegrityError, InternalError, OperationalError
from sqlalchemy.orm import Session
from sqlalchemy.orm.exc import StaleDataError

from control_plane.store.database.engine import Database, Lane
from control_plane.store.repositories.accounts import Accounts
from control_plane.store.repositories.endpoints import Endpoints
from control_plane.store.repositories.events import Events
from control_plane.store.repositories.history import History
from control_plane.store.repositories.jobs import Jobs
from control_plane.store.repositories.lease_clock import LeaseTime
from control_plane.store.repositories.leases import Leases
from control_plane.store.repositories.nodes import Nodes
from control_plane.store.repositories.queues import Queues
from control_plane.store.repositories.replicas import Replicas
from control_plane.store.repositories.speeds import Speeds

ResultT = TypeVar("ResultT")
MAX_TRIES = 8


class LostRace(Exception):
    """A guarded update met a row that another writer had changed: read again, decide again."""


class Transaction:
    """The repositories over one session, and the hints to publish once it is committed."""

    def __init__(self, session: Session, serial: bool = False) -> None:
        self.session = session
        self.serial = serial
        self.hints: set[str] = set()

    @cached_property
    def accounts(self) -> Accounts:
        return Accounts(self.session)

    @cached_property
    def jobs(self) -> Jobs:
        return Jobs(self.session)

    @cached_property
    def replicas(self) -> Replicas:
        return Replicas(self.session)

    @cached_property
    def leases(self) -> Leases:
        return Leases(self.session)

    @cached_property
    def lease_clock(self) -> LeaseTime:
        return LeaseTime(self.session)

    @cached_property
    def lease_time(self) -> datetime:
        """What all of this transaction's leases are granted, renewed, ended and metered by."""
        return self.lease_clock.now()

    @cached_property
    def nodes(self) -> Nodes:
        return Nodes(self.session, self.hints)

    @cached_property
    def queues(self) -> Queues:
        return Queues(self.session)

    @cached_property
    def endpoints(self) -> Endpoints:
        return Endpoints(self.session)

    @cached_property
    def events(self) -> Events:
        return Events(self.session, self.hints, self.serial)

    @cached_property
    def history(self) -> History:
        return History(self.session)

    @cached_property
    def speeds(self) -> Speeds:
        return Speeds(self.session)


class Store:
    """Opens transactions. Nothing of it is held while nobody is inside one."""

    def __init__(self, database: Database, *, patient: bool = False) -> None:
        """`patient` is for the loops of this process: they wait for their turn as long as it takes,
        for nobody waits for them; a request is refused instead.
        """
        self.database = database
        self._patient = patient

    def for_loops(self) -> Store:
        """The same store for those who wait."""
        return Store(self.database, patient=True)

    @contextmanager
    def read(self, lane: Lane = Lane.READ) -> Iterator[Transaction]:
        """A consistent view; nothing is written."""
        with self.database.reading(lane) as session:
            yield Transaction(session)

    @contextmanager
    def write(self, serial: bool = True) -> Iterator[Transaction]:
        """Commits at the end, rolls back on any error. No network call belongs inside.

        Serial transactions follow one another: what one has read still holds when it commits,
        and events are numbered in the order of commits. The others are for frequent writes that
        decide nothing; they guard each update by what they have read.
        """
        with self.database.writing(serial, patient=self._patient) as session:
            yield Transaction(session, serial)
            session.commit()

    def run(
        self, work: Callable[[Transaction], ResultT], serial: bool = True
    ) -> tuple[ResultT, set[str]]:
        """Does `work` in a write transaction, again when another writer was faster.

        `work` must read everything it decides on inside. Returns its result and the hints it
        gathered; raises the last error after MAX_TRIES lost races.
        """
        for _ in range(MAX_TRIES - 1):
            try:
                with self.write(serial) as tx:
                    return work(tx), tx.hints
            except (LostRace, StaleDataError, IntegrityError):
                continue
            except (OperationalError, InternalError) as error:
                if not _is_lost_race(error):
                    raise
        with self.write(serial) as tx:
            return work(tx), tx.hints


def _is_lost_race(error: OperationalError | InternalError) -> bool:
    """PostgreSQL: 40001 serialisation failure and 40P01 deadlock ask for another try, and so does
    25P03: it rolled back a transaction of a process that stood still.
    """
    return getattr(error.orig, "sqlstate", None) in ("40001", "40P01", "25P03")
