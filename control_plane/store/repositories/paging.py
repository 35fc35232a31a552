"""Bounded pages over a column that is unique in its query, with opaque cursors in between.

A cursor names the list that it belongs to, with its filters and its order, and opens no other.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from sqlalchemy import Select
from sqlalchemy.orm import InstrumentedAttribute, Session

from control_plane.errors import Invalid
from penstock.api.messages import say
from penstock.catalogue.violation import violation

RowT = TypeVar("RowT")


@dataclass(frozen=True, slots=True)
class Slice(Generic[RowT]):
    """Rows of one page and the cursor of the next."""

    rows: Sequence[RowT]
    next: str | None


def page_of(
    session: Session,
    query: Select[RowT],
    key: InstrumentedAttribute[Any],
    limit: int,
    cursor: str | None,
    *,
    of: tuple[object, ...],
    newest_first: bool = False,
) -> Slice[RowT]:
    """At most `limit` rows in order of `key`, after the cursor.

    `of` says which list this is: its name and every filter of it, as values whose `repr` tells
    them apart. Raises Invalid for a cursor of another list, or of none of ours.
    """
    scope = _scope(*of, newest_first)
    if cursor is not None:
        start = _position(key, cursor, scope)
        query = query.where(key < start if newest_first else key > start)
    order = key.desc() if newest_first else key.asc()
    rows = session.scalars(query.order_by(order).limit(limit + 1)).all()
    if len(rows) <= limit:
        return Slice(rows, None)
    last = rows[limit - 1]  # a row, or no more of it than the key
    return Slice(rows[:limit], _encoded(scope, str(getattr(last, key.key, last))))


def _scope(*of: object) -> str:
    return hashlib.blake2b(repr(of).encode(), digest_size=6).hexdigest()


def _encoded(scope: str, position: str) -> str:
    return base64.urlsafe_b64encode(f"2:{scope}:{position}".encode()).decode().rstrip("=")


def _position(key: InstrumentedAttribute[Any], cursor: str, scope: str) -> str | int:
    """The cursor's position in the type of its column."""
    given, position = _decoded(cursor)
    if given != scope:
        raise _bad_cursor(cursor, "of_another_list")
    if key.type.python_type is not int:
        return position
    if not position.isascii() or not position.isdigit() or len(position) > 18:
        raise _bad_cursor(cursor)
    return int(position)


def _decoded(cursor: str) -> tuple[str, str]:
    """Scope and position; raises Invalid on anything that we did not make."""
    try:
        padded = cursor + "=" * (-len(cursor) % 4)
        text = base64.b64decode(padded, altchars=b"-_", validate=True).decode()
    except (binascii.Error, UnicodeDecodeError, ValueError):
        text = ""
    version, _, rest = text.partition(":")
    scope, _, position = rest.partition(":")
    if version != "2" or not position or len(position) > 200 or "\x00" in position:
        raise _bad_cursor(cursor)
    return scope, position


def _bad_cursor(cursor: str, code: str = "not_ours") -> Invalid:
    wrong = violation("?cursor", code, received=cursor[:80])
    return Invalid("bad_cursor", what=say(code), violations=[wrong])
