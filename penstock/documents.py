"""Reads one YAML or JSON document strictly, and knows at which line and column each value stands.

Owns syntax: broken text, duplicate keys, tags, aliases without end. What a document means is
left to the types of `penstock.api`.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

MAX_DOCUMENT_BYTES: Final = 2**20
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


def parse_document(
    data: bytes, *, syntax: str | None = None, max_bytes: int = MAX_DOCUMENT_BYTES
) -> Document:
    """The mapping in `data`. `syntax` is json or yaml; by default a leading brace means JSON.

    Raises DocumentError.
    """
    if len(data) > max_bytes:
        raise DocumentError("too_large", f"is {len(data)} bytes long; at most {max_bytes} are read")
    text = _decode(data)
    if not text.strip():
        raise DocumentError("empty_document", "is empty; a mapping is needed")
    if (syntax or ("json" if text.lstrip()[0] == "{" else "yaml")) == "json":
        return _from_json(text)
    from penstock.yaml_documents import from_yaml  # PyYAML takes time to import

    return from_yaml(text)


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


def _decode(data: bytes) -> str:
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = data[: error.start].decode("utf-8", "replace")
        raise DocumentError(
            "not_utf8", "is not UTF-8 text", place=place_of(before, len(before))
        ) from error


@dataclass(frozen=True, slots=True)
class _Duplicate:
    key: str


def _from_json(text: str) -> Document:
    try:
        value = json.loads(
            text,
            object_pairs_hook=_object,
            parse_constant=_refuse_constant,
            parse_float=_finite,
            parse_int=_whole,
        )
    except json.JSONDecodeError as error:
        place = Place(error.lineno, error.colno)
        raise DocumentError("broken_json", f"is not JSON: {error.msg}", place=place) from error
    except RecursionError as error:
        raise DocumentError("too_deep", f"is nested deeper than {MAX_DEPTH} levels") from error
    _check(value, "", 0)
    return Document(require_mapping(value))


def _object(pairs: list[tuple[str, Any]]) -> Any:
    made: dict[str, Any] = {}
    for key, value in pairs:
        if key in made:
            return {key: _Duplicate(key)}
        made[key] = value
    return made


def _check(value: Any, pointer: str, depth: int) -> None:
    """Refuses duplicate keys, with their pointer, and too deep nesting."""
    if depth > MAX_DEPTH:
        raise DocumentError("too_deep", f"is nested deeper than {MAX_DEPTH} levels")
    if isinstance(value, _Duplicate):
        raise DocumentError(
            "duplicate_key", f"has the key `{value.key}` more than once", pointer=pointer
        )
    if isinstance(value, dict | list):
        items = value.items() if isinstance(value, dict) else enumerate(value)
        for key, inner in items:
            _check(inner, f"{pointer}/{escape_pointer(key)}", depth + 1)


def _refuse_constant(name: str) -> Any:
    raise DocumentError("broken_json", f"is not JSON: {name} is no JSON number")


def _finite(literal: str) -> float:
    value = float(literal)
    if not math.isfinite(value):
        raise DocumentError("number_too_large", f"has a number out of range: {literal[:40]}")
    return value


def _whole(literal: str) -> int:
    if len(literal) > 40:
        raise DocumentError("number_too_large", f"has a number out of range: {literal[:20]}…")
    return int(literal)
