"""JSON as it is defined: no NaN, no key twice, no number out of range."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from typing import Any

from penstock.documents.model import (
    MAX_DEPTH,
    Document,
    DocumentError,
    Place,
    escape_pointer,
    require_mapping,
)


def from_json(text: str) -> Document:
    """The one mapping in `text`; raises DocumentError."""
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


@dataclass(frozen=True, slots=True)
class _Duplicate:
    key: str


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
