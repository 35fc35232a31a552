"""The migrations make the schema of the models, on both databases, however often they are run."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import event, inspect

from control_plane.store.database.engine import Database
from control_plane.store.database.migrate import migrate, read_schema
from control_plane.store.database.triggers import triggers
from control_plane.store.models import Base
from tests.integration.upgrade import revisions

MIGRATE = """
import sys
from control_plane.store.database.engine import open_database
from control_plane.store.database.migrate import migrate
sys.stdin.readline()
migrate(open_database(sys.argv[1]))
"""
NUM_PROCESSES = 3


def test_the_migrated_schema_is_that_of_the_models(empty: Database) -> None:
    migrate(empty)
    assert _differences(empty) == []
    assert _indexes(empty) == {
        (table.name, index.name)
        for table in Base.metadata.tables.values()
        for index in table.indexes
    }


def test_migrating_again_changes_nothing(empty: Database) -> None:
    assert read_schema(empty).obstacle
    migrate(empty)
    migrate(empty)
    assert read_schema(empty).obstacle is None
    assert _differences(empty) == []


def test_processes_that_start_together_migrate_once(empty_url: str, empty: Database) -> None:
    command = [sys.executable, "-c", MIGRATE, empty_url]
    processes = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for _ in range(NUM_PROCESSES)
    ]
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    errors = [process.communicate(timeout=60)[1] for process in processes]
    assert [process.returncode for process in processes] == [0] * NUM_PROCESSES, "\n".join(errors)
    assert read_schema(empty).obstacle is None
    assert _differences(empty) == []


def test_a_revision_that_rebuilds_a_table_leaves_it_its_triggers(
    empty: Database, tmp_path: Path
) -> None:
    migrate(empty)
    with empty.engine.connect() as connection:
        before = triggers(connection)
    assert {"jobs", "nodes", "chips", "leases"} < set(before.values())
    newer = revisions.copied(tmp_path)
    rebuild = 'alter_column("message", nullable=True)'
    revisions.add(newer, f'with op.batch_alter_table("jobs") as table: table.{rebuild}')
    migrate(empty, newer)
    with empty.engine.connect() as connection:
        assert triggers(connection) == before


def test_a_migration_that_is_cut_off_leaves_nothing_behind(empty: Database) -> None:
    def die(_connection: object, _cursor: object, statement: str, *_rest: object) -> None:
        if "CREATE TABLE cycles" in statement:
            raise KeyboardInterrupt

    event.listen(empty.engine, "before_cursor_execute", die)
    with pytest.raises(KeyboardInterrupt):
        migrate(empty)
    assert inspect(empty.engine).get_table_names() == []
    event.remove(empty.engine, "before_cursor_execute", die)
    migrate(empty)
    assert read_schema(empty).obstacle is None
    assert _differences(empty) == []


def _differences(database: Database) -> list[object]:
    with database.engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        return list(compare_metadata(context, Base.metadata))


def _indexes(database: Database) -> set[tuple[str, str | None]]:
    """Without those that stand for unique constraints."""
    found = inspect(database.engine)
    return {
        (table, index["name"])
        for table in Base.metadata.tables
        for index in found.get_indexes(table)
        if "duplicates_constraint" not in index
    }
