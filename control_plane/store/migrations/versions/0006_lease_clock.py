"""The lease clock, when nodes were heard and replicas began by it, and nodes' incarnations."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import sqlalchemy as sa
from alembic import op

from control_plane.store.migrations.columns import moment, word
from control_plane.store.models.base import UtcDateTime

revision: str = "0006"
down_revision: str | None = "0005"
# Not marked as expanding: a server of before would go on writing its machine's time into leases.

_NEWEST = (
    ("nodes", "last_heartbeat_at"), ("nodes", "created_at"), ("events", "at"),
    ("leases", "granted_at"), ("leases", "ended_at"), ("leases", "rolled_up_to"),
)  # fmt: skip


def upgrade() -> None:
    table = op.create_table(
        "lease_clock",
        sa.Column("id", sa.Integer(), primary_key=True, autoincrement=False),
        moment("at"),
    )
    op.bulk_insert(table, [{"id": 1, "at": _start()}])
    op.add_column("nodes", moment("heard_at", null=True))
    op.add_column("nodes", word("incarnation", 48, null=True))
    op.add_column("nodes", word("refused_incarnation", 48, null=True))
    op.add_column("leases", moment("began_at", null=True))
    op.execute(sa.text("UPDATE nodes SET heard_at = last_heartbeat_at"))
    began = "SELECT started_at FROM replicas WHERE replicas.id = leases.replica_id"
    op.execute(sa.text(f"UPDATE leases SET began_at = ({began}) WHERE state = 'held'"))


def _start() -> datetime:
    """The newest time that the database knows, not the machine's: a clock that was set between
    shutdown and upgrade ends no lease and keeps none. Only an empty one takes the machine's.
    """
    connection = op.get_bind()
    known = [
        connection.scalar(
            sa.select(sa.func.max(sa.column(name, UtcDateTime()))).select_from(sa.table(of))
        )
        for of, name in _NEWEST
    ]
    lease = sa.table(
        "leases", sa.column("state"), sa.column("ttl_s"), sa.column("expires_at", UtcDateTime())
    )
    held = sa.select(lease.c.expires_at, lease.c.ttl_s).where(lease.c.state == "held")
    known += [until - timedelta(seconds=ttl_s) for until, ttl_s in connection.execute(held)]
    return max((it for it in known if it is not None), default=datetime.now(UTC))
