"""A server on a schema that a newer version has migrated: it runs where that only expanded."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from starlette.testclient import TestClient
from structlog.testing import capture_logs

from control_plane.services.deps import Deps
from control_plane.store.database.engine import Database, open_database
from control_plane.store.database.migrate import (
    MIGRATIONS,
    Schema,
    SchemaTooNew,
    migrate,
    read_schema,
)
from tests.fakes.leading import lead
from tests.integration.api.world import TASK
from tests.integration.upgrade import revisions

pytestmark = pytest.mark.integration

COLUMN = 'op.add_column("jobs", sa.Column("mood", sa.String(8), nullable=False, server_default=""))'
TABLE = 'op.create_table("moods", sa.Column("id", sa.Integer(), primary_key=True))'


def _add_break(newer: Path) -> None:
    revisions.add(newer, 'op.drop_table("speeds")', expands=False)


def _forget_the_mark(newer: Path) -> None:
    revisions.add(newer, TABLE, expands=None)


def _expand_then_break(newer: Path) -> None:
    revisions.add(newer, TABLE)
    _add_break(newer)


def _break_then_expand(newer: Path) -> None:
    _add_break(newer)
    revisions.add(newer, TABLE)


def _fork(newer: Path) -> None:
    """Another line of revisions, which never had this version's newest."""
    present = revisions.names(newer)
    next((newer / "versions").glob(f"{present[-1]}*.py")).unlink()
    revisions.add(newer, TABLE, down=present[-2])


def test_a_server_works_on_a_newer_schema_that_was_only_expanded(
    api_client: TestClient, deps: Deps, tmp_path: Path
) -> None:
    newer = revisions.copied(tmp_path)
    revisions.add(newer, COLUMN)
    last = revisions.add(newer, TABLE)
    migrate(deps.store.database, newer)
    with capture_logs() as logged:
        migrate(deps.store.database)
    assert [(it["event"], it["revision"]) for it in logged] == [("schema_is_newer", last)]
    lead(deps)
    part = api_client.get("/readyz").json()["parts"]["migrations"]
    assert part == {
        "ok": True,
        "message": f"the schema is newer (revision {last}) and was only expanded",
    }
    made = api_client.post("/api/v1/jobs", json={**TASK, "name": "older"})
    assert made.status_code == 201
    assert api_client.get("/api/v1/jobs/older").json()["state"] == "queued"


def test_the_newer_version_goes_on_after_the_older_one(empty: Database, tmp_path: Path) -> None:
    newer = revisions.copied(tmp_path)
    last = revisions.add(newer, COLUMN)
    for migrations in (MIGRATIONS, newer, MIGRATIONS, newer):
        migrate(empty, migrations)
    assert read_schema(empty, newer) == Schema(last, last)


@pytest.mark.parametrize(
    "invent", [_add_break, _forget_the_mark, _expand_then_break, _break_then_expand, _fork]
)
def test_any_other_newer_schema_is_refused(
    invent: Callable[[Path], None], empty: Database, tmp_path: Path
) -> None:
    newer = revisions.copied(tmp_path)
    invent(newer)
    migrate(empty, newer)
    schema = read_schema(empty)
    assert len(schema.breaking) == 1
    with pytest.raises(SchemaTooNew, match=f"{schema.breaking[0]} did more than expand it"):
        migrate(empty)
    assert read_schema(empty) == schema


@pytest.mark.parametrize("lost", ["DROP TABLE schema_revisions", "DELETE FROM schema_revisions"])
def test_a_newer_schema_without_a_record_is_refused(
    lost: str, empty: Database, tmp_path: Path
) -> None:
    newer = revisions.copied(tmp_path)
    revisions.add(newer, TABLE)
    migrate(empty, newer)
    with empty.engine.begin() as connection:
        connection.exec_driver_sql(lost)
    with pytest.raises(SchemaTooNew):
        migrate(empty)


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_a_running_server_says_that_a_newer_version_has_broken_its_schema(
    api_client: TestClient, deps: Deps, tmp_path: Path
) -> None:
    newer = revisions.copied(tmp_path)
    revision = revisions.add(newer, TABLE, expands=False)
    migrate(deps.store.database, newer)
    answer = api_client.get("/readyz")
    assert answer.status_code == 503
    (problem,) = answer.json()["errors"]
    assert problem["pointer"] == "/parts/migrations"
    assert f"{revision} did more than expand it" in problem["message"]


def test_a_refused_start_says_why_and_what_to_do(tmp_path: Path) -> None:
    newer = revisions.copied(tmp_path)
    revisions.add(newer, TABLE, expands=False)
    database = open_database(f"sqlite:///{tmp_path / 'penstock.db'}")
    migrate(database, newer)
    database.dispose()
    command = [sys.executable, "-m", "control_plane", "serve", "--home", str(tmp_path)]
    refused = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert refused.returncode == 2
    assert refused.stderr.startswith("penstock: the schema is at revision next")
    assert "restore the backup" in refused.stderr
    assert "Traceback" not in refused.stderr
