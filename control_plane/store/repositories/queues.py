"""Rows of queues, and how long jobs wait in them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

from sqlalchemy import func, select

from control_plane.store.models import Job, Queue
from control_plane.store.repositories.base import UniqueRows
from penstock.api.ids import QueueId
from penstock.api.states import JobState


class Wait(NamedTuple):
    """Jobs of one queue that wait for one reason: how many, and since when the oldest does."""

    queue: str
    reason: str
    number: int
    oldest: datetime


class Queues(UniqueRows[Queue, QueueId]):
    """Queues by id and name."""

    model = Queue

    def all(self) -> Sequence[Queue]:
        return self._session.scalars(select(Queue).order_by(Queue.name)).all()

    def waits(self) -> Sequence[Wait]:
        """By queue and reason."""
        rows = self._session.execute(
            select(Job.queue, Job.reason, func.count(), func.min(Job.created_at))
            .where(Job.state == JobState.QUEUED)
            .group_by(Job.queue, Job.reason)
        )
        return [Wait(*row) for row in rows]
