"""Remembers which job a request with an Idempotency-Key made, so that its repeats make none."""

from __future__ import annotations

import hashlib
from datetime import datetime

from control_plane.errors import Conflict
from control_plane.ids import new_id
from control_plane.store.models import IdempotencyKey
from control_plane.store.repositories.base import Named
from control_plane.store.unit_of_work import Transaction
from penstock.api.ids import JobId, KeyId


def made_before(tx: Transaction, project: Named, key: str | None, body: str) -> JobId | None:
    """The id of the job that this key made in the project, from the same body.

    Raises Conflict for a key that was used with another body.
    """
    row = tx.idempotency_keys.find(project.id, key) if key is not None else None
    if row is None:
        return None
    if row.body_hash != _hash(body):
        raise Conflict("idempotency_key_reused")
    return row.job_id


def remember(
    tx: Transaction, key: str | None, body: str, project: Named, job_id: JobId, now: datetime
) -> None:
    """Part of the transaction that makes the job; does nothing without a key."""
    if key is not None:
        tx.idempotency_keys.insert(
            IdempotencyKey(
                id=new_id(KeyId),
                project_id=project.id,
                key=key,
                body_hash=_hash(body),
                job_id=job_id,
                created_at=now,
            )
        )


def _hash(body: str) -> str:
    return hashlib.sha256(body.encode()).hexdigest()
