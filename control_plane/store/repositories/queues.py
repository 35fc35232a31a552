"""Rows of queues."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import select
from sqlalchemy.orm import Session

from control_plane.store.models import Queue
from control_plane.store.repositories.references import means


class Queues:
    """Queues by name."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def find(self, ref: str) -> Queue | None:
        return self._session.scalar(select(Queue).where(means(Queue, ref)))

    def all(self) -> Sequence[Queue]:
        return self._session.scalars(select(Queue).order_by(Queue.name)).all()

    def add(self, row: Queue) -> None:
        self._session.add(row)
