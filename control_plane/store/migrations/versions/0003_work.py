"""Jobs, gangs, replicas, leases, checkpoints and endpoints."""

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
    stated,
    text,
    word,
)

revision: str = "0003"
down_revision: str | None = "0002"


def upgrade() -> None:
    _jobs()
    _gangs()
    _replicas()
    _leases()
    _checkpoints()
    _endpoints()


def _jobs() -> None:
    op.create_table(
        "jobs",
        key(),
        ref("project_id"),
        word("project"),
        word("name"),
        word("queue"),
        word("type"),
        number("priority"),
        document("spec"),
        document("resolved"),
        document("labels"),
        *_ending(),
        flag("cancel_requested"),
        document("progress", null=True),
        document("result"),
        ref("retry_of", null=True, index=False),
        word("created_by"),
        *_life(),
        *stated(),
        sa.Index("ix_jobs_project_name", "project_id", "name"),
    )
    _one_of_a_name("jobs", "uq_jobs_live_name", "state NOT IN ('succeeded', 'failed', 'cancelled')")


def _gangs() -> None:
    op.create_table(
        "gangs",
        key(),
        ref("job_id"),
        number("index"),
        number("attempt"),
        *_ending(),
        number("own_failures"),
        number("infrastructure_failures"),
        moment("not_before", null=True),
        document("wait", null=True),
        word("master", 256, null=True),
        *stated(),
        sa.UniqueConstraint("job_id", "index"),
    )


def _replicas() -> None:
    op.create_table(
        "replicas",
        key(),
        ref("project_id"),
        ref("job_id"),
        ref("gang_id"),
        number("gang_index"),
        number("attempt"),
        number("rank"),
        number("world_size"),
        ref("node_id"),
        word("desired"),
        word("stop_reason", 32, null=True),
        *_share(),
        word("address", 256, null=True),
        flag("ready"),
        document("progress", null=True),
        document("speed", null=True),
        document("exit", null=True),
        big("log_bytes"),
        *_life(),
        *stated(),
        sa.UniqueConstraint("gang_id", "attempt", "rank"),
    )


def _leases() -> None:
    op.create_table(
        "leases",
        key(),
        word("replica_id", 48, unique=True),
        ref("project_id"),
        ref("job_id"),
        ref("node_id"),
        word("queue"),
        number("epoch"),
        word("state", 32, index=True),
        *_share(),
        real("ttl_s"),
        moment("granted_at"),
        moment("expires_at"),
        moment("ended_at", null=True),
        moment("rolled_up_to", null=True),
    )


def _checkpoints() -> None:
    op.create_table(
        "checkpoints",
        key(),
        ref("project_id"),
        ref("job_id"),
        number("epoch"),
        number("step"),
        text("uri"),
        word("manifest_sha256", 64),
        moment("committed_at"),
        sa.UniqueConstraint("job_id", "epoch", "step"),
    )


def _endpoints() -> None:
    op.create_table(
        "endpoints",
        key(),
        ref("project_id"),
        word("project"),
        word("name"),
        ref("job_id"),
        text("model"),
        word("manifest_sha256", 64, null=True),
        number("num_replicas"),
        moment("created_at"),
        *stated(),
        sa.Index("ix_endpoints_project_name", "project_id", "name"),
    )
    _one_of_a_name("endpoints", "uq_endpoints_open_name", "state <> 'closed'")


def _ending() -> tuple[sa.Column[str] | sa.Column[int], ...]:
    """How an attempt ended."""
    return (
        word("outcome", 32, null=True),
        number("exit_code", null=True),
        word("exit_reason", 32, null=True),
    )


def _life() -> tuple[sa.Column[str], ...]:
    return moment("created_at"), moment("started_at", null=True), moment("ended_at", null=True)


def _share() -> tuple[sa.Column[str] | sa.Column[int], ...]:
    """What a replica holds: chips, and its part of the host."""
    return document("chips"), number("cores_milli"), big("memory_bytes")


def _one_of_a_name(table: str, index: str, where: str) -> None:
    """Names are unique per project among what is alive."""
    op.create_index(
        index,
        table,
        ["project_id", "name"],
        unique=True,
        sqlite_where=sa.text(where),
        postgresql_where=sa.text(where),
    )
