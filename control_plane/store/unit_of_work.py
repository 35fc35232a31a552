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
from control_plane.store.repositories.accounts import IdempotencyKeys, JoinTokens, Projects, Tokens
from control_plane.store.repositories.changes import Changes, KeptCounts
from control_plane.store.repositories.endpoints import Endpoints
from control_plane.store.repositories.events import Events
from control_plane.store.repositories.gangs import Gangs
from control_plane.store.repositories.history import (
    Cycles,
    Deliveries,
    Leaders,
    TokenUsages,
    Usages,
)
from control_plane.store.repositories.jobs import Checkpoints, Jobs
from control_plane.store.repositories.lease_clock import LeaseTime
from control_plane.store.repositories.leases import Leases
from control_plane.store.repositories.nodes import Chips, Nodes
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
        self._session = session
        self.serial = serial
        self.hints: set[str] = set()
        self.projects = Projects(session)
        self.tokens = Tokens(session)
        self.join_tokens = JoinTokens(session)
        self.idempotency_keys = IdempotencyKeys(session)
        self.jobs = Jobs(session)
        self.gangs = Gangs(session)
        self.replicas = Replicas(session)
        self.leases = Leases(session)
        self.lease_clock = LeaseTime(session)
        self.checkpoints = Checkpoints(session)
        self.endpoints = Endpoints(session)
        self.nodes = Nodes(session, self.hints)
        self.chips = Chips(session)
        self.queues = Queues(session)
        self.speeds = Speeds(session)
        self.events = Events(session, self.hints, serial)
        self.changes = Changes(session)
        self.counts = KeptCounts(session)
        self.leaders = Leaders(session)
        self.cycles = Cycles(session)
        self.deliveries = Deliveries(session)
        self.usages = Usages(session)
        self.token_usages = TokenUsages(session)

    @cached_property
    def lease_time(self) -> datetime:
        """What all of this transaction's leases are granted, renewed, ended and metered by."""
        return self.lease_clock.now()


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
                return self._once(work, serial)
            except (LostRace, StaleDataError, IntegrityError):
                continue
            except (OperationalError, InternalError) as error:
                if not _is_lost_race(error):
                    raise
        return self._once(work, serial)

    def _once(
        self, work: Callable[[Transaction], ResultT], serial: bool
    ) -> tuple[ResultT, set[str]]:
        def do(session: Session) -> tuple[ResultT, set[str]]:
            tx = Transaction(session, serial)
            return work(tx), tx.hints

        if serial and not self._patient:
            return self.database.combine(do)
        with self.database.writing(serial, patient=self._patient) as session:
            done = do(session)
            session.commit()
            return done


def _is_lost_race(error: OperationalError | InternalError) -> bool:
    """PostgreSQL: 40001 serialisation failure and 40P01 deadlock ask for another try, and so does
    25P03: it rolled back a transaction of a process that stood still.
    """
    return getattr(error.orig, "sqlstate", None) in ("40001", "40P01", "25P03")
