"""Opaque cursors and bounded pages over an id or a sequence."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from control_plane.errors import Invalid
from penstock.api.errors import Violation

RowT = TypeVar("RowT")


@dataclass(frozen=True, slots=True)
class Slice(Generic[RowT]):
    """Rows of one page and the cursor of the next."""

    rows: Sequence[RowT]
    next: str | None


def encode_cursor(position: str) -> str:
    """The opaque form of a position."""
    return base64.urlsafe_b64encode(f"1:{position}".encode()).decode().rstrip("=")


def decode_cursor(cursor: str | None) -> str | None:
    """The position in a cursor; raises Invalid on anything that we did not make."""
    if cursor is None:
        return None
    try:
        padded = cursor + "=" * (-len(cursor) % 4)
        text = base64.b64decode(padded, altchars=b"-_", validate=True).decode()
    except (binascii.Error, UnicodeDecodeError, ValueError):
        text = ""
    version, _, position = text.partition(":")
    if version != "1" or not position or len(position) > 200 or "\x00" in position:
        raise bad_cursor(cursor)
    return position


def bad_cursor(cursor: str) -> Invalid:
    """The error for a cursor that no page of ours ended with."""
    return Invalid(
        "the cursor is not one of ours",
        code="bad_cursor",
        hint="take it from the field `next` of the page before, or leave it out",
        violations=[Violation(pointer="?cursor", message="not a cursor", received=cursor[:80])],
    )


def cut(rows: Sequence[RowT], limit: int, position: str | None) -> Slice[RowT]:
    """A page out of up to limit + 1 rows; `position` is that of the last row kept."""
    if len(rows) <= limit or position is None:
        return Slice(rows[:limit], None)
    return Slice(rows[:limit], encode_cursor(position))
