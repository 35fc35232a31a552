"""What happened: events, cycles, leadership, webhook deliveries and metered use."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import BigInteger, Integer, String, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from control_plane.store.models.base import Base, Big, Id, Long, Ref, Short
from control_plane.store.models.coded_message import HasMessage
from penstock.api.ids import (
    CycleId,
    DeliveryId,
    EndpointId,
    JobId,
    ProjectId,
    TokenId,
    UsageId,
    UseId,
)
from penstock.json_types import Json


class Event(HasMessage, Base):
    """One thing that happened to one object; `seq` counts per object without a gap."""

    __tablename__ = "events"
    __table_args__ = (UniqueConstraint("object_id", "seq"),)

    id: Mapped[int] = mapped_column(
        BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=True
    )
    object_type: Mapped[Short]
    object_id: Mapped[str] = mapped_column(String(48))
    seq: Mapped[int]
    project_id: Mapped[ProjectId | None] = mapped_column(String(48), index=True)
    type: Mapped[Short]
    data: Mapped[Json]
    at: Mapped[datetime] = mapped_column(index=True)


class Cycle(Base):
    """The record of one scheduling cycle."""

    __tablename__ = "cycles"

    id: Mapped[Id[CycleId]]
    epoch: Mapped[int]
    trigger: Mapped[Short]
    started_at: Mapped[datetime] = mapped_column(index=True)
    duration_s: Mapped[float]
    saw: Mapped[dict[str, int]]
    placed: Mapped[list[Json]]
    preempted: Mapped[list[Json]]
    deferred: Mapped[list[Json]]
    committed: Mapped[bool]
    message: Mapped[Long]


class Leader(Base):
    """Who leads, under which epoch, until when."""

    __tablename__ = "leaders"

    name: Mapped[str] = mapped_column(String(48), primary_key=True)
    holder: Mapped[Short]
    epoch: Mapped[int]
    expires_at: Mapped[datetime]


class Delivery(Base):
    """One webhook to deliver; the row, not the message about it, is the truth."""

    __tablename__ = "deliveries"

    id: Mapped[Id[DeliveryId]]
    project_id: Mapped[Ref[ProjectId]]
    job_id: Mapped[Ref[JobId]]
    url: Mapped[Long]
    body: Mapped[Json]
    state: Mapped[str] = mapped_column(String(32), index=True)
    num_tries: Mapped[int]
    next_at: Mapped[datetime]
    last_error: Mapped[Long]
    created_at: Mapped[datetime]


class Usage(Base):
    """Chip use by project, job, chip type and hour, rolled up from leases."""

    __tablename__ = "usage"
    __table_args__ = (UniqueConstraint("job_id", "chip_type", "hour"),)

    id: Mapped[Id[UsageId]]
    project_id: Mapped[Ref[ProjectId]]
    job_id: Mapped[Ref[JobId]]
    chip_type: Mapped[Short]
    hour: Mapped[datetime] = mapped_column(index=True)
    chip_seconds: Mapped[float]


class TokenUsage(Base):
    """Model tokens by API token, endpoint, chip type and hour."""

    __tablename__ = "token_usage"
    __table_args__ = (UniqueConstraint("token_id", "endpoint_id", "chip_type", "hour"),)

    id: Mapped[Id[UseId]]
    project_id: Mapped[Ref[ProjectId]]
    token_id: Mapped[Ref[TokenId]]
    endpoint_id: Mapped[Ref[EndpointId]]
    chip_type: Mapped[Short]
    hour: Mapped[datetime]
    num_requests: Mapped[Big]
    prompt_tokens: Mapped[Big]
    completion_tokens: Mapped[Big]
