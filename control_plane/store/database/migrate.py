"""Brings a database to the current schema, and says whether this code may run on one that is newer.
Safe to run again and by several processes at once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

import structlog
from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, inspect, select, text

from control_plane.store.database.engine import Database, Lane
from control_plane.store.database.triggers import create_triggers, drop_triggers
from control_plane.store.models import Base, SchemaRevision

log = structlog.get_logger()

MIGRATIONS: Final = Path(__file__).parents[1] / "migrations"
_LOCK = 0x70656E74
_TABLE = Base.metadata.tables[SchemaRevision.__tablename__]


class SchemaTooNew(Exception):
    """A newer version changed the schema in a way that this one cannot work with."""


@dataclass(frozen=True, slots=True)
class Schema:
    """A database's revision against the newest that this code knows."""

    revision: str | None
    newest: str
    unknown: tuple[str, ...] = ()
    breaking: tuple[str, ...] = ()  # those of the unknown that do more than expand

    @property
    def obstacle(self) -> str | None:
        """Why this code must not work on it."""
        if self.breaking:
            return (
                f"the schema is at revision {self.revision}, which is newer than this version "
                f"({self.newest}); {', '.join(self.breaking)} did more than expand it. Start the "
                "newer version again, or restore the backup of before the upgrade"
            )
        if self.revision != self.newest and not self.unknown:
            return f"the schema is at revision {self.revision}: run the migrations"
        return None

    @property
    def description(self) -> str:
        if self.unknown:
            return f"the schema is newer (revision {self.revision}) and was only expanded"
        return "the schema is current"


def migrate(database: Database, migrations: Path = MIGRATIONS) -> None:
    """Runs what is missing, all or nothing. Processes that start together queue on a lock. Leaves
    a newer schema that was only expanded alone; raises SchemaTooNew for any other.
    """
    with database.migrating() as connection:
        if not database.is_sqlite:
            connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK})
        schema = _schema(connection, migrations)
        if schema.breaking:
            raise SchemaTooNew(schema.obstacle)
        if schema.unknown:
            log.warning("schema_is_newer", revision=schema.revision, known=schema.newest)
            return
        if schema.obstacle:
            config = _config(migrations)
            config.attributes["connection"] = connection
            drop_triggers(connection)
            command.upgrade(config, "head")
            create_triggers(connection)
        _record(connection, migrations)


def read_schema(database: Database, migrations: Path = MIGRATIONS) -> Schema:
    with database.reading(Lane.HEALTH) as session:
        return _schema(session.connection(), migrations)


def _schema(connection: Connection, migrations: Path) -> Schema:
    revision = MigrationContext.configure(connection).get_current_revision()
    known = _own_revisions(migrations)
    if revision is None or revision in known:
        return Schema(revision, known[0])
    unknown, breaking = _beyond(connection, revision, known)
    return Schema(revision, known[0], unknown, breaking)


def _beyond(
    connection: Connection, revision: str, known: Sequence[str]
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The revisions between the newest of this code and the database's, and those that break.
    What is not recorded breaks, and so does what does not come after our newest.
    """
    recorded: dict[str, tuple[str | None, bool]] = {}
    if inspect(connection).has_table(_TABLE.name):
        columns = _TABLE.c.revision, _TABLE.c.down_revision, _TABLE.c.expands
        rows = connection.execute(select(*columns))
        recorded = {name: (down, expands) for name, down, expands in rows}
    unknown, breaking = list[str](), list[str]()
    at: str | None = revision
    while at is not None and at not in known:
        down, expands = recorded.pop(at, (None, False))
        follows = down not in known or down == known[0]
        unknown.append(at)
        if down is None or not expands or not follows:
            breaking.append(at)
        at = down
    return tuple(reversed(unknown)), tuple(reversed(breaking))


def _record(connection: Connection, migrations: Path) -> None:
    """Keeps whether each revision only expands, for older servers, which have no file of it."""
    _TABLE.create(connection, checkfirst=True)
    recorded = set(connection.scalars(select(_TABLE.c.revision)))
    missing = [
        {
            "revision": script.revision,
            "down_revision": script.down_revision,
            "expands": getattr(script.module, "expands", False),
        }
        for script in _scripts(migrations).walk_revisions()
        if script.revision not in recorded
    ]
    if missing:
        connection.execute(_TABLE.insert(), missing)


@cache
def _own_revisions(migrations: Path) -> tuple[str, ...]:
    """All that this code knows, the newest first."""
    return tuple(script.revision for script in _scripts(migrations).walk_revisions())


@cache
def _scripts(migrations: Path) -> ScriptDirectory:
    return ScriptDirectory.from_config(_config(migrations))


def _config(migrations: Path) -> Config:
    config = Config()
    config.set_main_option("script_location", str(migrations).replace("%", "%%"))
    return config
