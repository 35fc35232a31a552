"""Rows of projects, tokens, join tokens and idempotency keys."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from control_plane.store.models import IdempotencyKey, JoinToken, Project, Token
from control_plane.store.repositories.batches import delete_some
from control_plane.store.repositories.references import means


class Accounts:
    """Who may do what; finds by the hash of a secret, never by the secret."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def project(self, ref: str) -> Project | None:
        return self._session.scalar(select(Project).where(means(Project, ref)))

    def projects(self) -> Sequence[Project]:
        return self._session.scalars(select(Project).order_by(Project.name)).all()

    def add_project(self, row: Project) -> None:
        """With the next number."""
        row.number = (self._session.scalar(select(func.max(Project.number))) or 0) + 1
        self._session.add(row)
        self._session.flush()

    def number_projects(self) -> None:
        """Numbers those that have none."""
        without = select(Project).where(Project.number.is_(None)).order_by(Project.id)
        for row in self._session.scalars(without).all():
            self.add_project(row)

    def project_number(self, project_id: str) -> int | None:
        return self._session.scalar(select(Project.number).where(Project.id == project_id))

    def token_by_hash(self, secret_hash: str) -> Token | None:
        return self._session.scalar(select(Token).where(Token.secret_hash == secret_hash))

    def token(self, token_id: str) -> Token | None:
        return self._session.get(Token, token_id)

    def tokens(self, project_id: str | None) -> Sequence[Token]:
        """All tokens, or those of one project."""
        query = select(Token).order_by(Token.id)
        if project_id is not None:
            query = query.where(Token.project_id == project_id)
        return self._session.scalars(query).all()

    def has_admin(self) -> bool:
        query = select(Token.id).where(Token.role == "admin", Token.revoked_at.is_(None))
        return self._session.scalar(query.limit(1)) is not None

    def touch(self, token_id: str, now: datetime) -> None:
        self._session.execute(update(Token).where(Token.id == token_id).values(last_used_at=now))

    def holds_join_token(self, secret_hash: str, now: datetime) -> bool:
        """Whether the token could be used now."""
        found = select(JoinToken.id).where(
            JoinToken.secret_hash == secret_hash,
            JoinToken.used_at.is_(None),
            JoinToken.expires_at > now,
        )
        return self._session.scalar(found) is not None

    def use_join_token(self, secret_hash: str, now: datetime) -> JoinToken | None:
        """Takes the token for good: of two that try at once, one gets it."""
        taken = self._session.execute(
            update(JoinToken)
            .where(
                JoinToken.secret_hash == secret_hash,
                JoinToken.used_at.is_(None),
                JoinToken.expires_at > now,
            )
            .values(used_at=now)
            .returning(JoinToken.id)
        ).scalar()
        return None if taken is None else self._session.get(JoinToken, taken)

    def idempotency(self, project_id: str, key: str) -> IdempotencyKey | None:
        return self._session.scalar(
            select(IdempotencyKey).where(
                IdempotencyKey.project_id == project_id, IdempotencyKey.key == key
            )
        )

    def forget_keys_before(self, before: datetime, limit: int) -> int:
        """Idempotency keys that old are nobody's repeats any more."""
        old = IdempotencyKey.created_at < before
        return delete_some(self._session, IdempotencyKey, limit, old)

    def add(self, row: Project | Token | JoinToken | IdempotencyKey) -> None:
        self._session.add(row)
