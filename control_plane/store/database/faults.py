"""What the database's exceptions mean to those who ask; they see no other of them."""

from __future__ import annotations

import sqlite3

from sqlalchemy.exc import (
    DataError,
    DBAPIError,
    IntegrityError,
    InterfaceError,
    InternalError,
    OperationalError,
    SQLAlchemyError,
)
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.orm.exc import StaleDataError

from control_plane.errors import Invalid, PlatformError, Unavailable

DatabaseFault = SQLAlchemyError
PASSING = (
    OperationalError, InterfaceError, InternalError, PoolTimeout, StaleDataError, IntegrityError,
    DataError,
)  # fmt: skip
"""Faults that are not a mistake of ours."""
_FULL = "is full"
_UNWRITABLE = "takes no writes"
_SQLITE_DISK = {
    sqlite3.SQLITE_FULL: _FULL, sqlite3.SQLITE_IOERR: _UNWRITABLE,
    sqlite3.SQLITE_READONLY: _UNWRITABLE, sqlite3.SQLITE_CANTOPEN: _UNWRITABLE,
}  # fmt: skip
_POSTGRES_DISK = {"53100": _FULL, "58030": _UNWRITABLE}


def refusal(error: Exception) -> PlatformError:
    """What to tell of one that passes. The database is away, or so busy that a write lost every
    race or waited too long for a lock of somebody else's. The transaction was rolled back, or its
    end is not known: the same request with the same Idempotency-Key finds out.
    """
    if isinstance(error, DataError):
        return Invalid("out_of_range")
    if isinstance(error, StaleDataError | IntegrityError) or waited_for_lock(error):
        return Unavailable("busy", what="changes")
    fault = disk_fault(error)
    if fault is not None:
        return Unavailable("database_disk", fault=fault)
    return Unavailable("database_unavailable")


def cause(error: Exception) -> str:
    """What the driver says."""
    return str(error.orig if isinstance(error, DBAPIError) else error)[:500]


def disk_fault(error: Exception) -> str | None:
    """What is wrong with the database's disk, where that is what an error says."""
    original = getattr(error, "orig", None)
    if isinstance(original, sqlite3.OperationalError):
        return _SQLITE_DISK.get(original.sqlite_errorcode & 0xFF)
    return _POSTGRES_DISK.get(getattr(original, "sqlstate", None) or "")


def waited_for_lock(error: Exception) -> bool:
    """Whether another client, of any kind, held a lock for too long."""
    original = getattr(error, "orig", None)
    if isinstance(original, sqlite3.OperationalError):
        return original.sqlite_errorcode & 0xFF in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)
    return getattr(original, "sqlstate", None) == "55P03"
