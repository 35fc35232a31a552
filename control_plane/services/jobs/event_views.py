"""Rows of events as the API shows them."""

from __future__ import annotations

from collections.abc import Sequence

from control_plane.store.models import Event as EventRow
from control_plane.store.unit_of_work import Transaction
from penstock.api.jobs import Event
from penstock.catalogue import render


def event_views(tx: Transaction, rows: Sequence[EventRow]) -> list[Event]:
    """The events with the names of their projects: one more query in all."""
    names = tx.projects.names({row.project_id for row in rows if row.project_id})
    return [
        Event(
            id=row.id,
            seq=row.seq,
            object_type=row.object_type,
            object_id=row.object_id,
            project=names.get(row.project_id) if row.project_id else None,
            type=row.type,
            message=render(message),
            code=message.code,
            params=message.params,
            data=row.data,
            at=row.at,
        )
        for row in rows
        for message in (row.coded_message,)
    ]
