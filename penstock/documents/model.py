"""What a document is once read: its mapping, where each value stands, and what was wrong."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from penstock.api.messages import Message
from penstock.catalogue import render


class Place(NamedTuple):
    """Where in the text something stands, both counted from 1."""

    line: int
    column: int


class Fault(NamedTuple):
    """What is wrong at one JSON pointer: a code of the catalogue, with its parameters."""

    pointer: str
    code: str
    params: Mapping[str, str | int] = {}

    @property
    def message(self) -> str:
        return render(Message(self.code, self.params))


@dataclass(frozen=True, slots=True)
class Document:
    """A parsed mapping; `places` has the line and column per JSON pointer (empty for JSON)."""

    value: dict[str, Any]
    places: Mapping[str, Place] = field(default_factory=dict)


class DocumentError(ValueError):
    """The text is no acceptable document: what is wrong, and where.

    `faults` has every place where something is; mostly that is one.
    """

    def __init__(
        self,
        code: str,
        /,
        *,
        place: Place | None = None,
        pointer: str = "",
        faults: tuple[Fault, ...] = (),
        **params: str | int,
    ) -> None:
        super().__init__(code)
        self.place = place
        self.faults = faults or (Fault(pointer, code, params),)

    @property
    def code(self) -> str:
        return self.faults[0].code

    @property
    def pointer(self) -> str:
        return self.faults[0].pointer

    @property
    def message(self) -> str:
        return self.faults[0].message

    def at(self, place: Place) -> DocumentError:
        """The same, at that place."""
        return DocumentError(self.code, place=place, faults=self.faults)

    def __str__(self) -> str:
        return self.message


Trail = tuple["Trail", object] | None
"""The steps to a value, innermost first: a pointer is made of them only where one is shown."""


def pointer_of(trail: Trail) -> str:
    """The JSON pointer. Half a surrogate pair in a key cannot be sent and becomes `?`."""
    steps: list[str] = []
    while trail is not None:
        trail, step = trail
        steps.append("/" + escape_pointer(step).encode("utf-8", "replace").decode())
    return "".join(reversed(steps))


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
        raise DocumentError("not_a_mapping", found=found)
    return value
