"""Rows of endpoints and of the tokens they worked."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from sqlalchemy import func, select

from control_plane.store.models import Endpoint, TokenUsage
from control_plane.store.repositories.base import ScopedRows
from penstock.api.ids import EndpointId, JobId
from penstock.api.states import EndpointState


class Endpoints(ScopedRows[Endpoint, EndpointId]):
    """Endpoints by id, and by name within a project."""

    model = Endpoint
    alive = Endpoint.state != EndpointState.CLOSED

    def open(self) -> Sequence[Endpoint]:
        query = select(Endpoint).where(self.alive).order_by(Endpoint.name)
        return self._session.scalars(query).all()

    def of_job(self, job_id: JobId) -> Endpoint | None:
        return self._session.scalar(self._where(job_id=job_id))

    def tokens(self, endpoint_ids: Collection[EndpointId]) -> dict[EndpointId, tuple[int, int]]:
        """Endpoint id → (prompt, completion) tokens in all; without those that worked none."""
        sums = func.sum(TokenUsage.prompt_tokens), func.sum(TokenUsage.completion_tokens)
        rows = self._session.execute(
            select(TokenUsage.endpoint_id, *sums)
            .where(TokenUsage.endpoint_id.in_(tuple(endpoint_ids)))
            .group_by(TokenUsage.endpoint_id)
        )
        return {endpoint: (int(prompt), int(completion)) for endpoint, prompt, completion in rows}
