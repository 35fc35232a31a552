"""Nodes, their chips, queues, and measured speeds."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from control_plane.store.migrations.columns import (
    big,
    document,
    flag,
    key,
    moment,
    number,
    real,
    ref,
    text,
    word,
)

revision: str = "0002"
down_revision: str | None = "0001"


def upgrade() -> None:
    _nodes()
    _chips()
    _queues()
    _speeds()


def _nodes() -> None:
    op.create_table(
        "nodes",
        key(),
        word("name", unique=True),
        *_axis("health"),
        *_axis("intent"),
        document("labels"),
        number("cores_milli"),
        big("memory_bytes"),
        document("info"),
        word("instance"),
        number("generation"),
        number("converged_generation"),
        word("credential_hash", 64, unique=True),
        word("next_credential_hash", 64, null=True, unique=True),
        moment("credential_at"),
        moment("last_heartbeat_at", null=True),
        moment("created_at"),
        number("version"),
    )


def _axis(name: str) -> tuple[sa.Column[str], ...]:
    return word(name), word(f"{name}_reason"), text(f"{name}_message"), moment(f"{name}_since")


def _chips() -> None:
    op.create_table(
        "chips",
        key(),
        ref("node_id"),
        word("key"),
        word("vendor"),
        word("type", index=True),
        number("index"),
        big("memory_bytes", null=True),
        number("cores_milli"),
        flag("emulated"),
        word("health"),
        flag("present"),
        document("report"),
        document("sample", null=True),
        sa.UniqueConstraint("node_id", "key"),
    )


def _queues() -> None:
    op.create_table(
        "queues",
        key(),
        word("name", unique=True),
        document("limits"),
        moment("created_at"),
        number("version"),
    )


def _speeds() -> None:
    op.create_table(
        "speeds",
        key(),
        word("work_class"),
        word("chip_type"),
        word("configuration"),
        real("value"),
        word("unit"),
        word("origin"),
        number("num_samples"),
        moment("updated_at"),
        sa.UniqueConstraint("work_class", "chip_type", "configuration", "origin"),
    )
