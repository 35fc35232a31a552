"""Projects, tokens, join tokens and idempotency keys."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from control_plane.store.migrations.columns import key, moment, ref, word

revision: str = "0001"
down_revision: str | None = None


def upgrade() -> None:
    _projects()
    _tokens()
    _join_tokens()
    _idempotency_keys()


def _projects() -> None:
    op.create_table("projects", key(), word("name", unique=True), moment("created_at"))


def _tokens() -> None:
    op.create_table(
        "tokens",
        key(),
        word("name"),
        word("role"),
        ref("project_id", null=True),
        word("secret_hash", 64, unique=True),
        moment("created_at"),
        moment("expires_at", null=True),
        moment("revoked_at", null=True),
        moment("last_used_at", null=True),
    )


def _join_tokens() -> None:
    op.create_table(
        "join_tokens",
        key(),
        word("secret_hash", 64, unique=True),
        word("node_name", null=True),
        moment("created_at"),
        moment("expires_at"),
        moment("used_at", null=True),
    )


def _idempotency_keys() -> None:
    op.create_table(
        "idempotency_keys",
        key(),
        ref("project_id"),
        word("key", 256),
        word("body_hash", 64),
        ref("job_id", index=False),
        moment("created_at"),
        sa.UniqueConstraint("project_id", "key"),
    )
