"""Rows of events: per object numbered from 1 without a gap, and ordered over all."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session, aliased

from control_plane.hints.topics import EVENTS
from control_plane.store.models import Event
from control_plane.store.models.coded_message import message_columns
from control_plane.store.repositories.base import Repository
from control_plane.store.repositories.paging import Slice
from penstock.api.ids import ProjectId
from penstock.api.messages import Message


class Events(Repository[Event, int]):
    """Appends and reads events. An append is part of the transaction it tells of."""

    model = Event

    def __init__(self, session: Session, hints: set[str], serial: bool) -> None:
        super().__init__(session)
        self._hints = hints
        self._serial = serial
        self._next: dict[str, int] = {}

    def append(
        self,
        object_type: str,
        object_id: str,
        project_id: ProjectId | None,
        kind: str,
        message: Message,
        now: datetime,
        data: dict[str, Any] | None = None,
        *,
        is_first: bool = False,
    ) -> None:
        """Ids follow the order of commits, because serial transactions follow one another.
        `is_first`: the object was made in this transaction, and nothing is read for its number.
        """
        assert self._serial, "events are told by serial transactions only"
        self._hints.update((EVENTS, f"{object_type}:{object_id}"))
        if is_first:
            self._next[object_id] = 1
        text, document = message_columns(message)
        event = Event(
            object_type=object_type,
            object_id=object_id,
            seq=self._seq(object_id),
            project_id=project_id,
            type=kind,
            message=text,
            message_document=document,
            data=data or {},
            at=now,
        )
        if is_first:
            self.insert(event)
        else:
            self._session.add(event)

    def remember(self, object_ids: Collection[str]) -> None:
        """Reads at once how far the numbers of these objects go, for appends that follow."""
        rows = self._session.execute(
            select(Event.object_id, func.max(Event.seq))
            .where(Event.object_id.in_(tuple(object_ids)))
            .group_by(Event.object_id)
        )
        known = {object_id: last + 1 for object_id, last in rows}
        self._next.update({it: known.get(it, 1) for it in object_ids if it not in self._next})

    def of_object(self, object_id: str, after_seq: int, limit: int) -> Sequence[Event]:
        return self._session.scalars(
            select(Event)
            .where(Event.object_id == object_id, Event.seq > after_seq)
            .order_by(Event.seq)
            .limit(limit)
        ).all()

    def page_of(self, object_id: str, limit: int, cursor: str | None) -> Slice[Event]:
        """Of one object from the first on."""
        query = self._where(object_id=object_id)
        return self._page(query, limit, cursor, object_id, key="seq")

    def after(self, event_id: int, project_id: ProjectId | None, limit: int) -> Sequence[Event]:
        """Events of all objects, or of one project's, in order of commit."""
        query = self._where(project_id=project_id).where(Event.id > event_id)
        return self._session.scalars(query.order_by(Event.id).limit(limit)).all()

    def last_id(self) -> int:
        return self._session.scalar(select(func.coalesce(func.max(Event.id), 0))) or 0

    def forget_before(self, before: datetime, object_ids: Sequence[str], limit: int) -> int:
        return self._delete(limit, Event.at < before, Event.object_id.in_(object_ids))

    def forget_others_before(self, before: datetime, limit: int) -> int:
        """Events of all but jobs; each object keeps its newest, so that its numbers go on."""
        later = aliased(Event)
        is_later = (later.object_id == Event.object_id) & (later.seq > Event.seq)
        followed = select(later.id).where(is_later).exists()
        return self._delete(limit, Event.at < before, Event.object_type != "job", followed)

    def _seq(self, object_id: str) -> int:
        if object_id not in self._next:
            last = self._session.scalar(
                select(func.coalesce(func.max(Event.seq), 0)).where(Event.object_id == object_id)
            )
            self._next[object_id] = (last or 0) + 1
        seq = self._next[object_id]
        self._next[object_id] = seq + 1
        return seq
