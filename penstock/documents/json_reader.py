"""JSON as it is defined: no NaN, no key twice, no number out of range, and not too much of it."""

from __future__ import annotations

import json
import math
from collections import Counter
from typing import Final

from penstock.documents.bounds import (
    MAX_DEPTH,
    MAX_DIGITS,
    Duplicate,
    Limits,
    too_deep,
    too_many_values,
)
from penstock.documents.model import DocumentError, Place

_NESTED: Final = b"[" * (MAX_DEPTH + 1)
_BRACKETS: Final = bytes.maketrans(b"{", b"[")
_DROPPED: Final = bytes(set(range(256)) - set(b'"[{,'))


def from_json(data: bytes, text: str, limits: Limits) -> object:
    """The value in `text`, which is `data` decoded; raises DocumentError."""
    marks = _marks(data)
    if len(marks) >= limits.num_values:
        raise too_deep() if _NESTED in marks else too_many_values(limits.num_values)
    try:
        return json.loads(
            text,
            object_pairs_hook=_object,
            parse_constant=_refuse_constant,
            parse_float=float if limits.any_value else _finite,
            parse_int=_whole,
        )
    except json.JSONDecodeError as error:
        place = Place(error.lineno, error.colno)
        raise DocumentError("broken_json", place=place, what=error.msg) from error
    except RecursionError as error:
        raise too_deep() from error


def _marks(data: bytes) -> bytes:
    """The commas and opening brackets outside of text, braces as brackets: every value but the
    first follows one of them, so that their number is known before anything is built.

    Nothing here runs in Python per character or per value. Of quotes that stand side by side both
    go: what lies inside of text, and what outside, stays so.
    """
    if b"\\" in data:
        data = data.replace(b"\\\\", b"").replace(b'\\"', b"")
    marks = data.translate(_BRACKETS, _DROPPED).replace(b'""', b"")
    return b"".join(marks.split(b'"')[::2])


def _object(pairs: list[tuple[str, object]]) -> object:
    made = dict(pairs)
    if len(made) < len(pairs):
        twice = Counter(key for key, _ in pairs).most_common(1)[0][0]
        return {twice: Duplicate(twice)}
    return made


def _refuse_constant(name: str) -> object:
    raise DocumentError("broken_json", what=f"{name} is no JSON number")


def _finite(literal: str) -> float:
    value = float(literal)
    if not math.isfinite(value):
        raise DocumentError("number_too_large", number=literal[:40])
    return value


def _whole(literal: str) -> int:
    if len(literal) > MAX_DIGITS:
        raise DocumentError("number_too_large", number=f"{literal[:20]}…")
    return int(literal)
