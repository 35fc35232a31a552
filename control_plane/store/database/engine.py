"""Opens the database. Knows the differences between SQLite and PostgreSQL; nobody else does."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import Enum
from pathlib import Path
from typing import TypeVar

from pydantic_core import from_json
from sqlalchemy import Connection, Engine, create_engine, event, text
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from control_plane.deadlines import (
    LOOP_TURN_S,
    MIGRATION_S,
    READ_IDLE_S,
    SEAT_S,
    SQLITE_BUSY_S,
    TURN_S,
    Deadline,
)
from control_plane.errors import Unavailable
from control_plane.store.database.combined import Work, together
from control_plane.store.database.turns import Seats, WriterQueue
from penstock.disk_room import obstacle

ResultT = TypeVar("ResultT")
_SERIAL_LOCK = 0x70656E73


class Lane(Enum):
    """Who uses connections of their own, and how many of them. Serial writers have one anyway."""

    READ = 14
    LIGHT = 6
    """Frequent writes that decide nothing: heartbeats, ends of logs, counted tokens."""
    HEALTH = 3
    """Readiness and leadership."""


_NUM_CONNECTIONS = sum(lane.value for lane in Lane) + 1
_KEPT_OPEN = 10


def _seats() -> dict[Lane, Seats]:
    return {lane: Seats(lane.value) for lane in Lane}


@dataclass(frozen=True, slots=True)
class Database:
    """An engine with its sessions, its lanes, and its one turn to write."""

    engine: Engine
    readers: Engine
    """The same engine on SQLite. On PostgreSQL reads, which hold no lock, may pause for longer."""
    writers: WriterQueue = field(default_factory=WriterQueue)
    seats: dict[Lane, Seats] = field(default_factory=_seats)

    @property
    def is_sqlite(self) -> bool:
        return self.engine.dialect.name == "sqlite"

    @contextmanager
    def reading(self, lane: Lane = Lane.READ) -> Iterator[Session]:
        """All that the session reads is as of one moment. Raises Unavailable `busy`."""
        with self.seats[lane].seat(), Session(self.readers, expire_on_commit=False) as session:
            if not self.is_sqlite:
                session.connection(execution_options={"isolation_level": "REPEATABLE READ"})
            yield session

    @contextmanager
    def writing(self, serial: bool, *, patient: bool = False) -> Iterator[Session]:
        """Serial transactions follow one another; SQLite has one writer anyway. On PostgreSQL they
        queue for a lock, one of each process, and each statement of theirs sees all that was
        committed before them. Raises Unavailable `busy` when its turn does not come in time.
        """
        with self._entry(serial, patient), Session(self.engine, expire_on_commit=False) as session:
            connection = session.connection(execution_options={"penstock_write": True})
            if serial:
                self._lock_writers(connection)
            yield session

    def combine(self, work: Callable[[Session], ResultT]) -> ResultT:
        """A serial transaction that shares its commit with others that wait at the same time; what
        `work` raises is its own. Raises Unavailable `busy` when its turn does not come in time.
        """
        mine = Work(work)
        with self.writers.turn(Deadline.after(TURN_S), work=mine) as has_turn:
            if has_turn:
                with self.engine.execution_options(penstock_write=True).connect() as connection:
                    together(connection, mine, self.writers, self._lock_writers)
        return mine.result()

    @contextmanager
    def migrating(self) -> Iterator[Connection]:
        """One transaction that may take long, and wait long for another one of its kind."""
        with self.writers.turn(Deadline.after(LOOP_TURN_S), patient=True):
            engine = self.engine.execution_options(penstock_write=True)
            with engine.begin() as connection:
                if not self.is_sqlite:
                    from control_plane.store.database.postgres import lift_limits

                    lift_limits(connection.connection.dbapi_connection, MIGRATION_S)  # type: ignore[arg-type]
                yield connection

    def obstacle(self) -> str | None:
        """Why it answers nothing now, or an SQLite database's disk takes no writes."""
        try:
            with self.reading(Lane.HEALTH) as session:
                session.execute(text("SELECT 1"))
        except (SQLAlchemyError, Unavailable) as error:
            return f"does not answer: {type(error).__name__}"
        disk = self.disk_obstacle()
        return None if disk is None else f"takes no writes: its disk {disk}"

    def disk_obstacle(self) -> str | None:
        path = self.engine.url.database
        return obstacle(Path(path).parent) if self.is_sqlite and path else None

    def time(self) -> datetime | None:
        """What the server's clock says, if it can be asked; SQLite is on this machine."""
        try:
            with self.seats[Lane.HEALTH].seat(), self.readers.connect() as connection:
                shown: datetime | None = connection.scalar(text("SELECT clock_timestamp()"))
        except SQLAlchemyError:
            return None
        return None if shown is None else shown.astimezone(UTC)

    def dispose(self) -> None:
        self.engine.dispose()
        self.readers.dispose()

    def _lock_writers(self, connection: Connection) -> None:
        if not self.is_sqlite:
            connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _SERIAL_LOCK})

    @contextmanager
    def _entry(self, serial: bool, patient: bool) -> Iterator[None]:
        if serial or self.is_sqlite:
            deadline = Deadline.after(LOOP_TURN_S if patient else TURN_S)
            with self.writers.turn(deadline, light=not serial, patient=patient):
                yield
        else:
            with self.seats[Lane.LIGHT].seat():
                yield


def open_database(url: str) -> Database:
    """Connects lazily to `sqlite:///path` or `postgresql+psycopg://…`."""
    if url.startswith("sqlite"):
        engine = _sqlite_engine(url)
        return Database(engine, engine)
    from control_plane.store.database.postgres import postgres_engine  # a laptop needs no driver

    num_readers = Lane.READ.value + Lane.HEALTH.value
    writers = postgres_engine(url, _NUM_CONNECTIONS - num_readers)
    return Database(writers, postgres_engine(url, num_readers, READ_IDLE_S))


def _sqlite_engine(url: str) -> Engine:
    engine = create_engine(
        url,
        json_deserializer=from_json,
        connect_args={"check_same_thread": False, "timeout": SQLITE_BUSY_S},
        pool_size=_KEPT_OPEN,
        max_overflow=_NUM_CONNECTIONS - _KEPT_OPEN,
        pool_timeout=SEAT_S,
    )
    event.listen(engine, "connect", _on_sqlite_connect)
    event.listen(engine, "begin", _on_sqlite_begin)
    return engine


def _on_sqlite_connect(connection: sqlite3.Connection, _record: object) -> None:
    connection.isolation_level = None  # we say BEGIN ourselves, see below
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON"):
        connection.execute(f"PRAGMA {pragma}")


def _on_sqlite_begin(connection: Connection) -> None:
    """Writers take the lock at once: upgrading a read transaction could fail half-way."""
    writes = connection.get_execution_options().get("penstock_write", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")
