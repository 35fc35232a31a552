"""Rows of endpoints and of the tokens they worked."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from control_plane.store.models import Endpoint, TokenUsage
from control_plane.store.repositories.references import best_match
from penstock.api.states import EndpointState


class Endpoints:
    """Endpoints by name within a project."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def get(self, endpoint_id: str) -> Endpoint | None:
        return self._session.get(Endpoint, endpoint_id)

    def find(self, ref: str, project_id: str | None) -> Endpoint | None:
        """By id, or the open one of that name, else the newest. Raises Ambiguous."""
        is_open = Endpoint.state != EndpointState.CLOSED
        found: Endpoint | None = best_match(self._session, Endpoint, ref, project_id, is_open)
        return found

    def open(self, project_id: str | None = None) -> Sequence[Endpoint]:
        query = select(Endpoint).where(Endpoint.state != EndpointState.CLOSED)
        if project_id is not None:
            query = query.where(Endpoint.project_id == project_id)
        return self._session.scalars(query.order_by(Endpoint.name)).all()

    def of_job(self, job_id: str) -> Endpoint | None:
        return self._session.scalar(select(Endpoint).where(Endpoint.job_id == job_id))

    def all(self, project_id: str | None) -> Sequence[Endpoint]:
        query = select(Endpoint).order_by(Endpoint.id.desc()).limit(500)
        if project_id is not None:
            query = query.where(Endpoint.project_id == project_id)
        return self._session.scalars(query).all()

    def tokens(self, endpoint_id: str) -> tuple[int, int]:
        """(prompt, completion) tokens in all."""
        row = self._session.execute(
            select(
                func.coalesce(func.sum(TokenUsage.prompt_tokens), 0),
                func.coalesce(func.sum(TokenUsage.completion_tokens), 0),
            ).where(TokenUsage.endpoint_id == endpoint_id)
        ).one()
        return int(row[0]), int(row[1])

    def add(self, row: Endpoint) -> None:
        self._session.add(row)
