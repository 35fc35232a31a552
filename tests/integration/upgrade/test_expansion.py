"""Every revision that says it only expands the schema does so."""

from __future__ import annotations

from pathlib import Path

import pytest

from control_plane.store.database.engine import Database
from control_plane.store.database.migrate import MIGRATIONS, migrate
from control_plane.store.unit_of_work import Store
from tests.integration.upgrade import revisions
from tests.integration.upgrade.expansion import Shape, breaks, look

pytestmark = pytest.mark.integration

MARKED = [
    name
    for name in revisions.names()
    if "\nexpands = True" in next((MIGRATIONS / "versions").glob(f"{name}*.py")).read_text()
]
DATABASES = ["sqlite", pytest.param("postgresql", marks=pytest.mark.slow_safety)]
ALTER = 'with op.batch_alter_table("{}") as table: table.{}'
EXPANDING = {
    "a table": 'op.create_table("moods", sa.Column("id", sa.Integer(), primary_key=True))',
    "a nullable column": 'op.add_column("jobs", sa.Column("mood", sa.Text(), nullable=True))',
    "a column with a default": (
        'op.add_column("jobs", sa.Column("mood", sa.Text(), nullable=False, server_default=""))'
    ),
    "an index": 'op.create_index("ix_jobs_mood", "jobs", ["message"])',
    "a looser column": ALTER.format("jobs", 'alter_column("message", nullable=True)'),
}
BREAKING = {
    "table speeds is gone": 'op.drop_table("speeds")',
    "table leaders is gone": 'op.rename_table("leaders", "chiefs")',
    "jobs.message is gone": ALTER.format("jobs", 'drop_column("message")'),
    "jobs.reason is gone": ALTER.format("jobs", 'alter_column("reason", new_column_name="why")'),
    "jobs.mood is new and must be given": ALTER.format(
        "jobs", 'add_column(sa.Column("mood", sa.Text(), nullable=False))'
    ),
    "gangs.last_end must be given": ALTER.format(
        "gangs", 'alter_column("last_end", nullable=False)'
    ),
    "gangs.failures_in_a_row has lost its default": ALTER.format(
        "gangs", 'alter_column("failures_in_a_row", server_default=None)'
    ),
    "leaders.epoch was INTEGER, is BIGINT": ALTER.format(
        "leaders", 'alter_column("epoch", type_=sa.BigInteger())'
    ),
    "jobs has a new rule: unique message": (
        'op.create_index("uq_jobs_message", "jobs", ["message"], unique=True)'
    ),
    "leaders has a new rule: unique holder": ALTER.format(
        "leaders", 'create_unique_constraint("uq_leaders_holder", ["holder"])'
    ),
    "leaders has a new rule: check epoch": ALTER.format(
        "leaders", 'create_check_constraint("epochs", "epoch > 0")'
    ),
    "leaders has a new rule: reference holder": ALTER.format(
        "leaders", 'create_foreign_key("fk_leaders", "nodes", ["holder"], ["id"])'
    ),
}


def test_the_marked_revisions_only_expand(empty: Database, tmp_path: Path) -> None:
    before: Shape = {}
    for name in revisions.names():
        migrate(empty, revisions.copied(tmp_path, until=name))
        after = look(empty.engine)
        if name in MARKED:
            assert list(breaks(before, after)) == [], name
        before = after


@pytest.mark.parametrize("database_url", DATABASES, indirect=True)
@pytest.mark.parametrize("body", EXPANDING.values(), ids=EXPANDING)
def test_what_an_older_server_does_not_notice_is_allowed(
    body: str, store: Store, tmp_path: Path
) -> None:
    assert _found(body, store.database, tmp_path) == []


@pytest.mark.parametrize("database_url", DATABASES, indirect=True)
@pytest.mark.parametrize("words, body", BREAKING.items(), ids=BREAKING)
def test_what_breaks_an_older_server_is_found(
    words: str, body: str, store: Store, tmp_path: Path
) -> None:
    assert _found(body, store.database, tmp_path)[0].startswith(words)


def _found(body: str, database: Database, folder: Path) -> list[str]:
    before = look(database.engine)
    newer = revisions.copied(folder)
    revisions.add(newer, body)
    migrate(database, newer)
    return list(breaks(before, look(database.engine)))
