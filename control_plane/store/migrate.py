"""Brings a database to the current schema. Safe to run again and by several processes at once."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, text

from control_plane.store.engine import Database

_LOCK = 0x70656E74


def migrate(database: Database) -> None:
    """Runs what is missing, all or nothing. Processes that start together queue on a lock."""
    writing = database.engine.execution_options(penstock_write=True)
    with database.write_lock, writing.begin() as connection:
        if not database.is_sqlite:
            connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK})
        if _revision(connection) != newest_revision():
            config = _config()
            config.attributes["connection"] = connection
            command.upgrade(config, "head")


def is_current(database: Database) -> bool:
    """Whether the schema is the one this code was written for."""
    with database.engine.connect() as connection:
        return _revision(connection) == newest_revision()


@cache
def newest_revision() -> str | None:
    return ScriptDirectory.from_config(_config()).get_current_head()


def _revision(connection: Connection) -> str | None:
    return MigrationContext.configure(connection).get_current_revision()


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).with_name("migrations")))
    return config
