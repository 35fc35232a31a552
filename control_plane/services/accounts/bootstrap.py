"""What every cloud has from the start: the default project and the default queue."""

from __future__ import annotations

from datetime import datetime
from functools import partial

from control_plane.ids import new_id
from control_plane.services.deps import Deps
from control_plane.store.models import Project, Queue
from control_plane.store.unit_of_work import Transaction
from penstock.api.ids import ProjectId, QueueId

DEFAULT = "default"


def bootstrap(deps: Deps) -> None:
    """Idempotent; run at every start."""
    deps.run(partial(_bootstrap, now=deps.clock.now()))


def _bootstrap(tx: Transaction, now: datetime) -> None:
    if tx.projects.find(DEFAULT) is None:
        tx.projects.add(Project(id=new_id(ProjectId), name=DEFAULT, created_at=now))
    tx.projects.number_all()
    if tx.queues.find(DEFAULT) is None:
        tx.queues.add(Queue(id=new_id(QueueId), name=DEFAULT, limits={}, created_at=now, version=1))
