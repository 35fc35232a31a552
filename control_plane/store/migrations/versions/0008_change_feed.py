"""The change feed, and kept counts. Their triggers are in `store/database/triggers.py`."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from control_plane.store.migrations.columns import big, counter, number, ref, word

revision: str = "0008"
down_revision: str | None = "0007"
expands = True


def upgrade() -> None:
    is_sqlite = op.get_bind().dialect.name == "sqlite"
    now = "0" if is_sqlite else "CAST(CAST(pg_current_xact_id() AS TEXT) AS BIGINT)"
    xid = sa.Column("xid", sa.BigInteger(), nullable=False, server_default=sa.text(now))
    object_id = word("object_id", 48, unique=True)
    columns = counter(), xid, word("noun"), object_id, number("version")
    op.create_table(
        "changes", *columns, ref("project_id", null=True, index=False), sqlite_autoincrement=True
    )
    op.create_index("ix_changes_place", "changes", ["xid", "id"])
    key = [sa.Column(it, sa.String(128), primary_key=True) for it in ("first", "second", "third")]
    kind = sa.Column("kind", sa.String(32), primary_key=True)
    op.create_table("counts", kind, *key, big("number"))
