"""Rows of queues, and how many jobs are in them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

from sqlalchemy import func, select

from control_plane.domain.job import PLACED
from control_plane.store.models import Job, Queue
from control_plane.store.repositories.base import UniqueRows
from penstock.api.ids import QueueId
from penstock.api.states import JobState


class QueueLoad(NamedTuple):
    """Jobs of one queue: how many wait and run, and since when the oldest waits."""

    waiting: int
    running: int
    oldest: datetime | None


class Queues(UniqueRows[Queue, QueueId]):
    """Queues by id and name."""

    model = Queue

    def all(self) -> Sequence[Queue]:
        return self._session.scalars(select(Queue).order_by(Queue.name)).all()

    def loads(self) -> dict[str, QueueLoad]:
        """Waiting and running jobs of every queue that has any."""
        rows = self._session.execute(
            select(Job.queue, Job.state, func.count(), func.min(Job.created_at))
            .where(Job.state.in_((JobState.QUEUED, *PLACED)))
            .group_by(Job.queue, Job.state)
        )
        loads: dict[str, QueueLoad] = {}
        for queue, state, count, oldest in rows:
            load = loads.get(queue, QueueLoad(0, 0, None))
            if state == JobState.QUEUED:
                loads[queue] = QueueLoad(count, load.running, oldest)
            else:
                loads[queue] = load._replace(running=load.running + count)
        return loads
