"""Rows of projects, tokens, join tokens and idempotency keys."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import func, select, update

from control_plane.store.models import IdempotencyKey, JoinToken, Project, Token
from control_plane.store.repositories.base import Repository, UniqueRows
from penstock.api.ids import JoinId, KeyId, ProjectId, TokenId, noun_of


class Projects(UniqueRows[Project, ProjectId]):
    """Projects by id and name, each with a number of its own."""

    model = Project

    def add(self, row: Project) -> None:
        """With the next number."""
        row.number = (self._session.scalar(select(func.max(Project.number))) or 0) + 1
        self._session.add(row)
        self._session.flush()

    def number_all(self) -> None:
        """Numbers those that have none."""
        without = select(Project).where(Project.number.is_(None)).order_by(Project.id)
        for row in self._session.scalars(without).all():
            self.add(row)

    def number(self, project_id: ProjectId) -> int | None:
        return self._session.scalar(select(Project.number).where(Project.id == project_id))


class Tokens(Repository[Token, TokenId]):
    """Who may do what; found by the hash of a secret, never by the secret."""

    model = Token

    def by_hash(self, secret_hash: str) -> Token | None:
        return self._session.scalar(select(Token).where(Token.secret_hash == secret_hash))

    def meant(self, ref: str, token_id: TokenId | None) -> Sequence[Token]:
        """All of that name, or the one of that id; no other than `token_id` if that is given."""
        by_id = noun_of(ref) is not None
        query = self._where(id=token_id).where(Token.id == ref if by_id else Token.name == ref)
        return self._session.scalars(query).all()

    def has_admin(self, now: datetime | None = None, but: str = "") -> bool:
        """Whether an administrator's token stands, and can be used now; not counting `but`."""
        query = select(Token.id).where(
            Token.role == "admin", Token.revoked_at.is_(None), Token.id != but
        )
        if now is not None:
            query = query.where(Token.expires_at.is_(None) | (Token.expires_at > now))
        return self._session.scalar(query.limit(1)) is not None

    def touch(self, token_id: TokenId, now: datetime) -> None:
        self._session.execute(update(Token).where(Token.id == token_id).values(last_used_at=now))


class JoinTokens(Repository[JoinToken, JoinId]):
    """Tokens with which one agent each enrols."""

    model = JoinToken

    def holds(self, secret_hash: str, now: datetime) -> bool:
        """Whether the token could be used now."""
        found = select(JoinToken.id).where(
            JoinToken.secret_hash == secret_hash,
            JoinToken.used_at.is_(None),
            JoinToken.expires_at > now,
        )
        return self._session.scalar(found) is not None

    def use(self, secret_hash: str, now: datetime) -> JoinToken | None:
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
        return None if taken is None else self.get(taken)


class IdempotencyKeys(Repository[IdempotencyKey, KeyId]):
    """Which requests were made before."""

    model = IdempotencyKey

    def find(self, project_id: ProjectId, key: str) -> IdempotencyKey | None:
        return self._session.scalar(self._where(project_id=project_id, key=key))

    def forget_before(self, before: datetime, limit: int) -> int:
        """Keys that old are nobody's repeats any more."""
        return self._delete(limit, IdempotencyKey.created_at < before)
