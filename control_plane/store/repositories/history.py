"""Rows of cycles, leadership, webhook deliveries and metered use."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, or_, select, update

from control_plane.store.models import Cycle, Delivery, Leader, TokenUsage, Usage
from control_plane.store.repositories.base import Repository
from penstock.api.ids import CycleId, DeliveryId, EndpointId, JobId, TokenId, UsageId, UseId


class Leaders(Repository[Leader, str]):
    """Who leads, by what is led."""

    model = Leader

    def get_for_commit(self, name: str) -> Leader | None:
        """As it stays until this transaction ends."""
        return self._session.get(Leader, name, with_for_update={"read": True})

    def move(self, name: str, was: tuple[int, datetime], **columns: object) -> bool:
        """Changes the row if its epoch and mark are still those; False if another was faster."""
        epoch, mark = was
        moved = self._session.scalar(
            update(Leader)
            .where(Leader.name == name, Leader.epoch == epoch, Leader.expires_at == mark)
            .values(**columns)
            .returning(Leader.name)
        )
        return moved is not None


class Cycles(Repository[Cycle, CycleId]):
    """Records of cycles."""

    model = Cycle

    def record(self, row: Cycle) -> None:
        """A cycle's record, or how far it has come since."""
        updated = self._session.execute(
            update(Cycle)
            .where(Cycle.id == row.id)
            .values(
                placed=row.placed,
                preempted=row.preempted,
                duration_s=row.duration_s,
                message=row.message,
            )
        )
        if not updated.rowcount:  # type: ignore[attr-defined]
            self._session.add(row)

    def forget_before(self, before: datetime, limit: int) -> int:
        return self._delete(limit, Cycle.started_at < before)


class Deliveries(Repository[Delivery, DeliveryId]):
    """Webhooks to deliver."""

    model = Delivery

    def due(self, now: datetime, longest: timedelta, limit: int) -> Sequence[Delivery]:
        """Those whose time has come. One that is further off than the longest wait was put off
        before the clock was set back.
        """
        return self._session.scalars(
            select(Delivery)
            .where(Delivery.state == "pending", _is_due(now, longest))
            .order_by(Delivery.id)
            .limit(limit)
        ).all()

    def claim(
        self, delivery_id: DeliveryId, now: datetime, longest: timedelta, until: datetime
    ) -> bool:
        """Takes a due delivery for oneself; of several that try at once, one gets it."""
        claimed = self._session.scalar(
            update(Delivery)
            .where(Delivery.id == delivery_id, Delivery.state == "pending", _is_due(now, longest))
            .values(next_at=until)
            .returning(Delivery.id)
        )
        return claimed is not None

    def forget_before(self, before: datetime, limit: int) -> int:
        done = Delivery.state != "pending"
        return self._delete(limit, Delivery.created_at < before, done)


class Usages(Repository[Usage, UsageId]):
    """Metered use of chips."""

    model = Usage

    def of_hours(
        self, job_ids: Collection[JobId], hours: Collection[datetime]
    ) -> dict[tuple[JobId, str, datetime], Usage]:
        """(job, chip type, hour) → row."""
        rows = self._session.scalars(
            select(Usage).where(Usage.job_id.in_(tuple(job_ids)), Usage.hour.in_(tuple(hours)))
        )
        return {(row.job_id, row.chip_type, row.hour): row for row in rows}


class TokenUsages(Repository[TokenUsage, UseId]):
    """Metered use of models."""

    model = TokenUsage

    def count(
        self,
        token_id: TokenId,
        endpoint_id: EndpointId,
        chip_type: str,
        hour: datetime,
        prompt: int,
        completion: int,
    ) -> bool:
        """Adds a request to its row, whoever else counts at once; False if there is no row yet."""
        counted = self._session.scalar(
            update(TokenUsage)
            .where(
                TokenUsage.token_id == token_id,
                TokenUsage.endpoint_id == endpoint_id,
                TokenUsage.chip_type == chip_type,
                TokenUsage.hour == hour,
            )
            .values(
                num_requests=TokenUsage.num_requests + 1,
                prompt_tokens=TokenUsage.prompt_tokens + prompt,
                completion_tokens=TokenUsage.completion_tokens + completion,
            )
            .returning(TokenUsage.id)
        )
        return counted is not None


def _is_due(now: datetime, longest: timedelta) -> ColumnElement[bool]:
    return or_(Delivery.next_at <= now, Delivery.next_at > now + longest)
