"""The recorded cloud, unpacked: loads its database into SQLite and into PostgreSQL."""

from __future__ import annotations

import json
import shutil
import sqlite3
import tarfile
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any, Final

from sqlalchemy import Engine, MetaData, Table, func, insert, select, text

from control_plane.store.database.engine import Database, open_database
from control_plane.store.database.migrate import migrate
from tests.integration.upgrade import revisions
from tests.integration.upgrade.transcript import Exchange, load

ARCHIVE: Final = Path(__file__).with_name("recorded.tar.xz")
REVISION: Final = "0005"
Row = dict[str, Any]


@dataclass(frozen=True)
class Recorded:
    """The folder of a cloud that was killed with jobs running."""

    home: Path

    @cached_property
    def answers(self) -> dict[str, Any]:
        """What the release itself said of its cloud."""
        found: dict[str, Any] = json.loads((self.home / "answers.json").read_text("utf-8"))
        return found

    @cached_property
    def transcript(self) -> list[Exchange]:
        return load(self.home / "transcript.jsonl")

    @property
    def admin(self) -> str:
        return (self.home / "admin-token").read_text(encoding="utf-8").strip()

    @cached_property
    def rows(self) -> dict[str, list[Row]]:
        """Every row of every table, as the release had it."""
        return read_rows(self._original.engine, self.tables)

    def moment(self) -> datetime:
        """When all was killed, as far as the database knows."""
        found: datetime = max(row["at"] for row in self.rows["events"])
        return found

    def load(self, database: Database, folder: Path) -> None:
        """Puts schema and rows of the release into an empty database."""
        if database.is_sqlite:
            assert database.engine.url.database is not None
            self._original.dispose()
            shutil.copyfile(self.home / "original.db", database.engine.url.database)
            return
        migrate(database, revisions.copied(folder, until=REVISION))
        meta = MetaData()
        meta.reflect(database.engine)
        all_rows = self.rows  # read before: a transaction may be silent for three seconds only
        with database.engine.begin() as connection:
            for table in meta.sorted_tables:
                if rows := all_rows.get(table.name):
                    connection.execute(insert(table), rows)
            counted = select(func.max(meta.tables["events"].c.id)).scalar_subquery()
            connection.execute(
                select(func.setval(func.pg_get_serial_sequence("events", "id"), counted))
            )
            connection.execute(text("DROP TABLE schema_revisions"))

    @cached_property
    def _original(self) -> Database:
        path = self.home / "original.db"
        with closing(sqlite3.connect(path)) as connection:
            connection.executescript((self.home / "penstock.sql").read_text(encoding="utf-8"))
        return open_database(f"sqlite:///{path}")

    @cached_property
    def tables(self) -> list[Table]:
        """Those that the release had."""
        meta = MetaData()
        meta.reflect(self._original.engine)
        return [it for it in meta.sorted_tables if it.name != "alembic_version"]


def read_rows(engine: Engine, tables: list[Table]) -> dict[str, list[Row]]:
    """The columns that these tables have, ordered by key, whatever others there are now."""
    present = MetaData()
    present.reflect(engine)
    found: dict[str, list[Row]] = {}
    with engine.connect() as connection:
        for table in tables:
            now = present.tables[table.name]
            asked = select(*(now.c[column.name] for column in table.columns))
            keys = [now.c[column.name] for column in table.primary_key]
            rows = connection.execute(asked.order_by(*keys)).mappings()
            found[table.name] = [{key: _plain(it) for key, it in row.items()} for row in rows]
    return found


def _plain(value: Any) -> Any:
    return value.replace(tzinfo=UTC) if isinstance(value, datetime) else value


def unpacked(folder: Path) -> Recorded:
    with tarfile.open(ARCHIVE) as archive:
        archive.extractall(folder, filter="data")
    return Recorded(folder)
