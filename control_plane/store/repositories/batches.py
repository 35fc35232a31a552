"""Cuts what is long into batches: a database takes some ten thousand values in a statement, rows by
the hundred thousand need not be in memory together, and no transaction should delete so many.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final, TypeVar

from sqlalchemy import ColumnElement, delete, select
from sqlalchemy.orm import Session

BATCH: Final = 1000
ItemT = TypeVar("ItemT")


def in_batches(items: Sequence[ItemT], size: int = BATCH) -> Iterator[Sequence[ItemT]]:
    """The items in order, `size` at a time."""
    for start in range(0, len(items), size):
        yield items[start : start + size]


def delete_some(session: Session, model: Any, limit: int, *conditions: ColumnElement[bool]) -> int:
    """The number of rows deleted, `limit` at most."""
    some = select(model.id).where(*conditions).limit(limit)
    deleted = session.execute(delete(model).where(model.id.in_(some)))
    return int(deleted.rowcount)  # type: ignore[attr-defined]
