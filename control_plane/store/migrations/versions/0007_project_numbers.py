"""A number for each project: nodes make the user from it that the project's replicas run as."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from control_plane.store.migrations.columns import number

revision: str = "0007"
down_revision: str | None = "0006"
expands = True


def upgrade() -> None:
    """Projects that an older server makes beside a newer one are numbered at the next start."""
    op.add_column("projects", number("number", null=True))
    earlier = (
        "SELECT count(*) FROM projects AS earlier WHERE earlier.created_at < projects.created_at "
        "OR (earlier.created_at = projects.created_at AND earlier.id <= projects.id)"
    )
    op.execute(sa.text(f"UPDATE projects SET number = ({earlier})"))
