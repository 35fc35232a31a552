"""Events, cycles, leadership, webhook deliveries and metered use."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from control_plane.store.migrations.columns import (
    big,
    counter,
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

revision: str = "0004"
down_revision: str | None = "0003"


def upgrade() -> None:
    _events()
    _cycles()
    _leaders()
    _deliveries()
    _usage()
    _token_usage()


def _events() -> None:
    op.create_table(
        "events",
        counter(),
        word("object_type"),
        ref("object_id", index=False),
        number("seq"),
        ref("project_id", null=True),
        word("type"),
        text("message"),
        document("data"),
        moment("at", index=True),
        sa.UniqueConstraint("object_id", "seq"),
    )


def _cycles() -> None:
    op.create_table(
        "cycles",
        key(),
        number("epoch"),
        word("trigger"),
        moment("started_at", index=True),
        real("duration_s"),
        document("saw"),
        document("placed"),
        document("preempted"),
        document("deferred"),
        flag("committed"),
        text("message"),
    )


def _leaders() -> None:
    op.create_table("leaders", key("name"), word("holder"), number("epoch"), moment("expires_at"))


def _deliveries() -> None:
    op.create_table(
        "deliveries",
        key(),
        ref("project_id"),
        ref("job_id"),
        text("url"),
        document("body"),
        word("state", 32, index=True),
        number("num_tries"),
        moment("next_at"),
        text("last_error"),
        moment("created_at"),
    )


def _usage() -> None:
    op.create_table(
        "usage",
        key(),
        ref("project_id"),
        ref("job_id"),
        word("chip_type"),
        moment("hour", index=True),
        real("chip_seconds"),
        sa.UniqueConstraint("job_id", "chip_type", "hour"),
    )


def _token_usage() -> None:
    op.create_table(
        "token_usage",
        key(),
        ref("project_id"),
        ref("token_id"),
        ref("endpoint_id"),
        word("chip_type"),
        moment("hour"),
        big("num_requests"),
        big("prompt_tokens"),
        big("completion_tokens"),
        sa.UniqueConstraint("token_id", "endpoint_id", "chip_type", "hour"),
    )
