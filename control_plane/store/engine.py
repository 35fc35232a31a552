"""Opens the database. Knows the differences between SQLite and PostgreSQL; nobody else does."""

from __future__ import annotations

import sqlite3
import threading
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Engine, create_engine, event, text
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session, sessionmaker

SQLITE_BUSY_S = 30.0
_SERIAL_LOCK = 0x70656E73


@dataclass(frozen=True, slots=True)
class Database:
    """An engine with its sessions. SQLite has one writer: `write_lock` queues ours fairly."""

    engine: Engine
    sessions: sessionmaker[Session]
    write_lock: AbstractContextManager[Any]

    @property
    def is_sqlite(self) -> bool:
        return self.engine.dialect.name == "sqlite"

    def begin_read(self, session: Session) -> None:
        """All that the session reads is as of one moment."""
        if not self.is_sqlite:
            session.connection(execution_options={"isolation_level": "REPEATABLE READ"})

    def begin_write(self, session: Session, serial: bool) -> None:
        """SQLite has one writer anyway; on PostgreSQL serial transactions queue on a lock, and
        each statement of theirs sees all that was committed before them.
        """
        session.connection(execution_options={"penstock_write": True})
        if serial and not self.is_sqlite:
            session.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _SERIAL_LOCK})

    def time(self) -> datetime | None:
        """What the server's clock says, if it can be asked; SQLite is on this machine."""
        try:
            with self.engine.connect() as connection:
                told: datetime | None = connection.scalar(text("SELECT clock_timestamp()"))
        except SQLAlchemyError:
            return None
        return None if told is None else told.astimezone(UTC)

    def dispose(self) -> None:
        self.engine.dispose()


def open_database(url: str) -> Database:
    """Connects lazily to `sqlite:///path` or `postgresql+psycopg://…`."""
    if url.startswith("sqlite"):
        engine = _sqlite_engine(url)
        lock: AbstractContextManager[Any] = threading.RLock()
    else:
        engine = create_engine(url, pool_pre_ping=True, pool_size=10, max_overflow=20)
        lock = nullcontext()
    return Database(engine, sessionmaker(engine, expire_on_commit=False), lock)


def _sqlite_engine(url: str) -> Engine:
    engine = create_engine(
        url,
        connect_args={"check_same_thread": False, "timeout": SQLITE_BUSY_S},
        pool_size=10,
        max_overflow=30,
    )
    event.listen(engine, "connect", _on_sqlite_connect)
    event.listen(engine, "begin", _on_sqlite_begin)
    return engine


def _on_sqlite_connect(connection: sqlite3.Connection, _record: object) -> None:
    connection.isolation_level = None  # we say BEGIN ourselves, see below
    for pragma in ("journal_mode=WAL", "synchronous=NORMAL", "foreign_keys=ON"):
        connection.execute(f"PRAGMA {pragma}")


def _on_sqlite_begin(connection: Any) -> None:
    """Writers take the lock at once: upgrading a read transaction could fail half-way."""
    writes = connection.get_execution_options().get("penstock_write", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")
