"""Why a checkpoint could not be resumed: it is passed over from then on."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision: str = "0011"
down_revision: str | None = "0010"
expands = True


def upgrade() -> None:
    op.add_column("checkpoints", sa.Column("damaged", sa.Text(), nullable=True))
