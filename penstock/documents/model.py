"""What a document is once read: its mapping, where each value stands, and what was wrong."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

MAX_DEPTH: Final = 64


class Place(NamedTuple):
    """Where in the text something stands, both counted from 1."""

    line: int
    column: int


@dataclass(frozen=True, slots=True)
class Document:
    """A parsed mapping; `places` has the line and column per JSON pointer (empty for JSON)."""

    value: dict[str, Any]
    places: Mapping[str, Place] = field(default_factory=dict)


class DocumentError(ValueError):
    """The text is no acceptable document: a stable code, one sentence, and where."""

    def __init__(
        self, code: str, message: str, *, place: Place | None = None, pointer: str = ""
    ) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.place = place
        self.pointer = pointer


def escape_pointer(part: object) -> str:
    """One step of a JSON pointer (RFC 6901)."""
    return str(part).replace("~", "~0").replace("/", "~1")


def place_of(text: str, position: int) -> Place:
    """Line and column of a character position."""
    line_start = text.rfind("\n", 0, position) + 1
    return Place(text.count("\n", 0, position) + 1, position - line_start + 1)


def require_mapping(value: object) -> dict[str, Any]:
    """The value if it is a mapping; raises DocumentError otherwise."""
    if not isinstance(value, dict):
        names = {list: "a list", str: "text", bool: "a boolean", type(None): "null"}
        found = names.get(type(value), "a number")
        raise DocumentError("not_a_mapping", f"must be a mapping at the top, not {found}")
    return value
