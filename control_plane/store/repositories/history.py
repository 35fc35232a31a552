"""Rows of cycles, leadership, webhook deliveries and metered use."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, or_, select, update
from sqlalchemy.orm import Session, aliased

from control_plane.store.models import Cycle, Delivery, Event, Leader, TokenUsage, Usage
from control_plane.store.repositories.batches import delete_some
from control_plane.store.repositories.paging import Slice, page_of


class History:
    """What happened, apart from events."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def leader(self, name: str) -> Leader | None:
        return self._session.get(Leader, name)

    def leader_for_commit(self, name: str) -> Leader | None:
        """As it stays until this transaction ends."""
        return self._session.get(Leader, name, with_for_update={"read": True})

    def move_leader(self, name: str, was: tuple[int, datetime], **columns: object) -> bool:
        """Changes the row if its epoch and mark are still those; False if another was faster."""
        epoch, mark = was
        moved = self._session.scalar(
            update(Leader)
            .where(Leader.name == name, Leader.epoch == epoch, Leader.expires_at == mark)
            .values(**columns)
            .returning(Leader.name)
        )
        return moved is not None

    def cycle(self, cycle_id: str) -> Cycle | None:
        return self._session.get(Cycle, cycle_id)

    def record(self, row: Cycle) -> None:
        """A cycle's record, or how far it has come since."""
        told = self._session.execute(
            update(Cycle)
            .where(Cycle.id == row.id)
            .values(
                placed=row.placed, preempted=row.preempted, duration_s=row.duration_s,
                message=row.message,
            )
        )  # fmt: skip
        if not told.rowcount:  # type: ignore[attr-defined]
            self._session.add(row)

    def cycles(self, limit: int, cursor: str | None) -> Slice[Cycle]:
        return page_of(
            self._session, select(Cycle), Cycle.id, limit, cursor, of=("cycles",),
            newest_first=True,
        )  # fmt: skip

    def delivery(self, delivery_id: str) -> Delivery | None:
        return self._session.get(Delivery, delivery_id)

    def due_deliveries(self, now: datetime, longest: timedelta, limit: int) -> Sequence[Delivery]:
        """Those whose time has come. One that is further off than the longest wait was put off
        before the clock was set back.
        """
        return self._session.scalars(
            select(Delivery)
            .where(Delivery.state == "pending", _is_due(now, longest))
            .order_by(Delivery.id)
            .limit(limit)
        ).all()

    def claim_delivery(
        self, delivery_id: str, now: datetime, longest: timedelta, until: datetime
    ) -> bool:
        """Takes a due delivery for oneself; of several that try at once, one gets it."""
        claimed = self._session.scalar(
            update(Delivery)
            .where(Delivery.id == delivery_id, Delivery.state == "pending", _is_due(now, longest))
            .values(next_at=until)
            .returning(Delivery.id)
        )
        return claimed is not None

    def usage(
        self, job_ids: Collection[str], hours: Collection[datetime]
    ) -> dict[tuple[str, str, datetime], Usage]:
        """(job, chip type, hour) → row."""
        rows = self._session.scalars(
            select(Usage).where(Usage.job_id.in_(tuple(job_ids)), Usage.hour.in_(tuple(hours)))
        )
        return {(row.job_id, row.chip_type, row.hour): row for row in rows}

    def count_tokens(
        self, token_id: str, endpoint_id: str, chip_type: str, hour: datetime, prompt: int,
        completion: int,
    ) -> bool:  # fmt: skip
        """Adds a request to its row, whoever else counts at once; False if there is no row yet."""
        counted = self._session.scalar(
            update(TokenUsage)
            .where(
                TokenUsage.token_id == token_id, TokenUsage.endpoint_id == endpoint_id,
                TokenUsage.chip_type == chip_type, TokenUsage.hour == hour,
            )
            .values(
                num_requests=TokenUsage.num_requests + 1,
                prompt_tokens=TokenUsage.prompt_tokens + prompt,
                completion_tokens=TokenUsage.completion_tokens + completion,
            )
            .returning(TokenUsage.id)
        )  # fmt: skip
        return counted is not None

    def forget_cycles_before(self, before: datetime, limit: int) -> int:
        return delete_some(self._session, Cycle, limit, Cycle.started_at < before)

    def forget_events_before(self, before: datetime, object_ids: Sequence[str], limit: int) -> int:
        of_these = Event.object_id.in_(object_ids)
        return delete_some(self._session, Event, limit, Event.at < before, of_these)

    def forget_other_events_before(self, before: datetime, limit: int) -> int:
        """Events of all but jobs; each object keeps its newest, so that its numbers go on."""
        later = aliased(Event)
        followed = select(later.id).where(
            later.object_id == Event.object_id, later.seq > Event.seq
        )  # fmt: skip
        return delete_some(
            self._session, Event, limit,
            Event.at < before, Event.object_type != "job", followed.exists(),
        )  # fmt: skip

    def forget_deliveries_before(self, before: datetime, limit: int) -> int:
        done = Delivery.state != "pending"
        return delete_some(self._session, Delivery, limit, Delivery.created_at < before, done)

    def add(self, row: Leader | Delivery | Usage | TokenUsage) -> None:
        self._session.add(row)


def _is_due(now: datetime, longest: timedelta) -> ColumnElement[bool]:
    return or_(Delivery.next_at <= now, Delivery.next_at > now + longest)
