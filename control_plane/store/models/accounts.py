"""Projects, tokens, join tokens and idempotency keys. Secrets are stored as hashes only."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import String, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from control_plane.store.models.base import Base, Id, Ref, Short
from penstock.api.ids import JobId, JoinId, KeyId, ProjectId, TokenId


class Project(Base):
    """A tenant. No two have the same `number`, ever; null: made by an older server, beside ours."""

    __tablename__ = "projects"

    id: Mapped[Id[ProjectId]]
    name: Mapped[str] = mapped_column(String(128), unique=True)
    created_at: Mapped[datetime]
    number: Mapped[int | None]


class Token(Base):
    """An API token of a person or program; `project_id` is null for administrators."""

    __tablename__ = "tokens"

    id: Mapped[Id[TokenId]]
    name: Mapped[Short]
    role: Mapped[Short]
    project_id: Mapped[ProjectId | None] = mapped_column(String(48), index=True)
    secret_hash: Mapped[str] = mapped_column(String(64), unique=True)
    created_at: Mapped[datetime]
    expires_at: Mapped[datetime | None]
    revoked_at: Mapped[datetime | None]
    last_used_at: Mapped[datetime | None]


class JoinToken(Base):
    """A single-use token with which one agent enrols."""

    __tablename__ = "join_tokens"

    id: Mapped[Id[JoinId]]
    secret_hash: Mapped[str] = mapped_column(String(64), unique=True)
    node_name: Mapped[str | None] = mapped_column(String(128))
    created_at: Mapped[datetime]
    expires_at: Mapped[datetime]
    used_at: Mapped[datetime | None]


class IdempotencyKey(Base):
    """Which job a key of a project made, and from which body."""

    __tablename__ = "idempotency_keys"
    __table_args__ = (UniqueConstraint("project_id", "key"),)

    id: Mapped[Id[KeyId]]
    project_id: Mapped[Ref[ProjectId]]
    key: Mapped[str] = mapped_column(String(256))
    body_hash: Mapped[str] = mapped_column(String(64))
    job_id: Mapped[JobId] = mapped_column(String(48))
    created_at: Mapped[datetime]
