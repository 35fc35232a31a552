"""How the attempts of a gang ended, and when a server first answered."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from control_plane.store.migrations.columns import document, moment

revision: str = "0005"
down_revision: str | None = "0004"


def upgrade() -> None:
    counted = sa.Column("failures_in_a_row", sa.Integer(), nullable=False, server_default="0")
    op.add_column("gangs", counted)
    op.add_column("gangs", document("last_end", null=True))
    op.add_column("replicas", moment("ready_at", null=True))
    op.execute(sa.text("UPDATE replicas SET ready_at = started_at WHERE ready"))
