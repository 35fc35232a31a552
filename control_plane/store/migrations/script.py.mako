"""${message}"""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op
import control_plane.store.models.base

revision: str = ${repr(up_revision)}
down_revision: str | None = ${repr(down_revision)}
branch_labels: str | Sequence[str] | None = ${repr(branch_labels)}
# True only where servers of the revision before run on this one: tables and indexes that are new,
# columns that are nullable or have a server default; nothing dropped, renamed or made stricter.
expands: bool = False
depends_on: str | Sequence[str] | None = ${repr(depends_on)}


def upgrade() -> None:
    ${upgrades if upgrades else "pass"}


def downgrade() -> None:
    ${downgrades if downgrades else "pass"}
