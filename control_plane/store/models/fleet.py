"""Nodes, their chips, queues, and measured speeds."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import BigInteger, String, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from control_plane.store.models.base import Base, Big, Id, Long, Ref, Short
from penstock.api.ids import ChipId, NodeId, QueueId, SpeedId
from penstock.json_types import Json


class Node(Base):
    """One machine. `version` guards capacity: whatever may shrink it raises it.

    Heartbeats write their columns without touching `version`; `heard_at` is lease time.
    `generation` counts changes of the node's assignment list. `incarnation` is the start of its
    agent that speaks for it, null where the agent is too old to name one. `launcher` owns the
    processes there.
    """

    __tablename__ = "nodes"

    id: Mapped[Id[NodeId]]
    name: Mapped[str] = mapped_column(String(128), unique=True)
    health: Mapped[Short]
    health_reason: Mapped[Short]
    health_message: Mapped[Long]
    health_message_document: Mapped[Json | None]
    health_since: Mapped[datetime]
    intent: Mapped[Short]
    intent_reason: Mapped[Short]
    intent_message: Mapped[Long]
    intent_message_document: Mapped[Json | None]
    intent_since: Mapped[datetime]
    labels: Mapped[dict[str, str]]
    cores_milli: Mapped[int]
    memory_bytes: Mapped[Big]
    info: Mapped[Json]
    instance: Mapped[Short]
    generation: Mapped[int]
    converged_generation: Mapped[int]
    credential_hash: Mapped[str] = mapped_column(String(64), unique=True)
    next_credential_hash: Mapped[str | None] = mapped_column(String(64), unique=True)
    credential_at: Mapped[datetime]
    last_heartbeat_at: Mapped[datetime | None]
    heard_at: Mapped[datetime | None]
    launcher: Mapped[str] = mapped_column(String(32), server_default="agent")
    incarnation: Mapped[str | None] = mapped_column(String(48))
    refused_incarnation: Mapped[str | None] = mapped_column(String(48))
    created_at: Mapped[datetime]
    version: Mapped[int]


class Chip(Base):
    """One chip of a node; `present` is false once the agent no longer reports it."""

    __tablename__ = "chips"
    __table_args__ = (UniqueConstraint("node_id", "key"),)

    id: Mapped[Id[ChipId]]
    node_id: Mapped[Ref[NodeId]]
    key: Mapped[Short]
    vendor: Mapped[Short]
    type: Mapped[str] = mapped_column(String(128), index=True)
    index: Mapped[int]
    memory_bytes: Mapped[int | None] = mapped_column(BigInteger)
    cores_milli: Mapped[int]
    emulated: Mapped[bool]
    health: Mapped[Short]
    present: Mapped[bool]
    report: Mapped[Json]
    sample: Mapped[Json | None]


class Queue(Base):
    """Where jobs wait, with the most chips its jobs may hold: {type or `any`: count}."""

    __tablename__ = "queues"

    id: Mapped[Id[QueueId]]
    name: Mapped[str] = mapped_column(String(128), unique=True)
    limits: Mapped[dict[str, int]]
    created_at: Mapped[datetime]
    version: Mapped[int]


class Speed(Base):
    """One row of the throughput model: work class × chip type × configuration → speed."""

    __tablename__ = "speeds"
    __table_args__ = (UniqueConstraint("work_class", "chip_type", "configuration", "origin"),)

    id: Mapped[Id[SpeedId]]
    work_class: Mapped[Short]
    chip_type: Mapped[Short]
    configuration: Mapped[Short]
    value: Mapped[float]
    unit: Mapped[Short]
    origin: Mapped[Short]
    num_samples: Mapped[int]
    updated_at: Mapped[datetime]
