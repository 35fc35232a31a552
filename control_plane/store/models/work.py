"""Jobs, gangs, replicas, leases, checkpoints and endpoints."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import BigInteger, Index, String, Text, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from control_plane.store.models.base import Base, Big, Id, Long, Ref, Short
from control_plane.store.models.coded_message import HasMessage
from penstock.api.ids import (
    CheckpointId,
    EndpointId,
    GangId,
    JobId,
    LeaseId,
    NodeId,
    ProjectId,
    ReplicaId,
)
from penstock.json_types import Json


def _one_of_a_name(index: str, where: str) -> Index:
    """Names are unique per project among what is alive."""
    return Index(
        index,
        "project_id",
        "name",
        unique=True,
        sqlite_where=text(where),
        postgresql_where=text(where),
    )


class Stated(HasMessage):
    """The fields of every state. Only `services/gangs/moves.py` writes them."""

    state: Mapped[str] = mapped_column(String(32), index=True)
    reason: Mapped[Short]
    since: Mapped[datetime]


class Job(Stated, Base):
    """What a user submitted. Its state follows from its gangs."""

    __tablename__ = "jobs"
    __table_args__ = (
        Index("ix_jobs_project_name", "project_id", "name"),
        _one_of_a_name("uq_jobs_live_name", "state NOT IN ('succeeded', 'failed', 'cancelled')"),
    )

    id: Mapped[Id[JobId]]
    project_id: Mapped[Ref[ProjectId]]
    project: Mapped[Short]
    name: Mapped[Short]
    queue: Mapped[Short]
    type: Mapped[Short]
    priority: Mapped[int]
    spec: Mapped[Json]
    resolved: Mapped[Json]
    labels: Mapped[dict[str, str]]
    outcome: Mapped[str | None] = mapped_column(String(32))
    cancel_requested: Mapped[bool]
    progress: Mapped[Json | None]
    result: Mapped[Json]
    exit_code: Mapped[int | None]
    exit_reason: Mapped[str | None] = mapped_column(String(32))
    retry_of: Mapped[JobId | None] = mapped_column(String(48))
    created_by: Mapped[Short]
    created_at: Mapped[datetime]
    started_at: Mapped[datetime | None]
    ended_at: Mapped[datetime | None]
    version: Mapped[int] = mapped_column(nullable=False)
    __mapper_args__ = {"version_id_col": version}  # noqa: RUF012


class Gang(Stated, Base):
    """Replicas placed all or none: one per training or task job, one per serving replica.

    Obeys the job's transition table. `attempt` is 0 before the first placement; it is the epoch
    of the leases. `failures_in_a_row` counts attempts that did not last. `wait` is the
    scheduler's last reason as a document, `last_end` how the last attempt that is over ended.
    """

    __tablename__ = "gangs"
    __table_args__ = (UniqueConstraint("job_id", "index"),)

    id: Mapped[Id[GangId]]
    job_id: Mapped[Ref[JobId]]
    index: Mapped[int]
    attempt: Mapped[int]
    outcome: Mapped[str | None] = mapped_column(String(32))
    exit_code: Mapped[int | None]
    exit_reason: Mapped[str | None] = mapped_column(String(32))
    own_failures: Mapped[int]
    infrastructure_failures: Mapped[int]
    failures_in_a_row: Mapped[int]
    not_before: Mapped[datetime | None]
    wait: Mapped[Json | None]
    last_end: Mapped[Json | None]
    master: Mapped[str | None] = mapped_column(String(256))
    version: Mapped[int] = mapped_column(nullable=False)
    __mapper_args__ = {"version_id_col": version}  # noqa: RUF012


class Replica(Stated, Base):
    """One process of one attempt. `desired` is what its node should do with it; `ready_at` is
    when a server first answered.
    """

    __tablename__ = "replicas"
    __table_args__ = (UniqueConstraint("gang_id", "attempt", "rank"),)

    id: Mapped[Id[ReplicaId]]
    project_id: Mapped[Ref[ProjectId]]
    job_id: Mapped[Ref[JobId]]
    gang_id: Mapped[Ref[GangId]]
    gang_index: Mapped[int]
    attempt: Mapped[int]
    rank: Mapped[int]
    world_size: Mapped[int]
    node_id: Mapped[Ref[NodeId]]
    desired: Mapped[Short]
    stop_reason: Mapped[str | None] = mapped_column(String(32))
    chips: Mapped[list[Json]]
    cores_milli: Mapped[int]
    memory_bytes: Mapped[Big]
    address: Mapped[str | None] = mapped_column(String(256))
    ready: Mapped[bool]
    progress: Mapped[Json | None]
    speed: Mapped[Json | None]
    exit: Mapped[Json | None]
    log_bytes: Mapped[int] = mapped_column(BigInteger)
    created_at: Mapped[datetime]
    started_at: Mapped[datetime | None]
    ready_at: Mapped[datetime | None]
    ended_at: Mapped[datetime | None]
    version: Mapped[int] = mapped_column(nullable=False)
    __mapper_args__ = {"version_id_col": version}  # noqa: RUF012


class Lease(Base):
    """A time-limited exclusive hold of a replica on chips and host cores and memory.

    Its times are lease time (`store/lease_clock.py`); `began_at` is when its replica first ran.
    `proof` says what its end takes where no report tells of it (`domain/lease.py`).
    """

    __tablename__ = "leases"

    id: Mapped[Id[LeaseId]]
    replica_id: Mapped[ReplicaId] = mapped_column(String(48), unique=True)
    project_id: Mapped[Ref[ProjectId]]
    job_id: Mapped[Ref[JobId]]
    node_id: Mapped[Ref[NodeId]]
    queue: Mapped[Short]
    epoch: Mapped[int]
    state: Mapped[str] = mapped_column(String(32), index=True)
    proof: Mapped[str] = mapped_column(String(32), server_default="deadline")
    chips: Mapped[list[Json]]
    cores_milli: Mapped[int]
    memory_bytes: Mapped[Big]
    ttl_s: Mapped[float]
    granted_at: Mapped[datetime]
    began_at: Mapped[datetime | None]
    expires_at: Mapped[datetime]
    ended_at: Mapped[datetime | None]
    rolled_up_to: Mapped[datetime | None]


class Checkpoint(Base):
    """A committed checkpoint. Files without such a row are garbage. `damaged` tells why it could
    not be resumed.
    """

    __tablename__ = "checkpoints"
    __table_args__ = (UniqueConstraint("job_id", "epoch", "step"),)

    id: Mapped[Id[CheckpointId]]
    project_id: Mapped[Ref[ProjectId]]
    job_id: Mapped[Ref[JobId]]
    epoch: Mapped[int]
    step: Mapped[int]
    uri: Mapped[Long]
    manifest_sha256: Mapped[str] = mapped_column(String(64))
    committed_at: Mapped[datetime]
    damaged: Mapped[str | None] = mapped_column(Text)


class Endpoint(Stated, Base):
    """The stable address of a serving job."""

    __tablename__ = "endpoints"
    __table_args__ = (
        Index("ix_endpoints_project_name", "project_id", "name"),
        _one_of_a_name("uq_endpoints_open_name", "state <> 'closed'"),
    )

    id: Mapped[Id[EndpointId]]
    project_id: Mapped[Ref[ProjectId]]
    project: Mapped[Short]
    name: Mapped[Short]
    job_id: Mapped[Ref[JobId]]
    model: Mapped[Long]
    manifest_sha256: Mapped[str | None] = mapped_column(String(64))
    num_replicas: Mapped[int]
    created_at: Mapped[datetime]
    version: Mapped[int] = mapped_column(nullable=False)
    __mapper_args__ = {"version_id_col": version}  # noqa: RUF012
