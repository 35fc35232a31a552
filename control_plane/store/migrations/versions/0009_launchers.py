"""Who owns the processes of a node, and what proves that a replica there has ended."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision: str = "0009"
down_revision: str | None = "0008"
expands = True


def upgrade() -> None:
    """Nodes and leases that an older server writes are an agent's."""
    for table, column, known in (("nodes", "launcher", "agent"), ("leases", "proof", "deadline")):
        op.add_column(table, sa.Column(column, sa.String(32), nullable=False, server_default=known))
