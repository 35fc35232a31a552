"""How large a document may be, and the one pass over its values that holds it to that.

Readers bound what they build while they read; everything else is looked at here, for YAML and
JSON alike: depth, keys, duplicates, text and numbers that no field may have.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from penstock.documents.model import DocumentError, Fault, Trail, pointer_of

MAX_DEPTH: Final = 64
MAX_KEY_LENGTH: Final = 1_024
MAX_DIGITS: Final = 40
MAX_FAULTS: Final = 20
_MAX_INTEGER: Final = 2**63 - 1
_UNSAFE: Final = re.compile("[\0\ud800-\udfff]")


@dataclass(frozen=True, slots=True)
class Limits:
    """The most that is read of one document: its length, its values, the keys of one mapping."""

    num_bytes: int = 2**20
    num_values: int = 20_000
    num_keys: int = 1_024
    any_value: bool = False
    """Values are passed on, not kept: all text and numbers of JSON may stand there."""


@dataclass(frozen=True, slots=True)
class Duplicate:
    """Stands for the value of a key that a mapping has twice."""

    key: str


def check_values(value: Mapping[str, object], limits: Limits) -> None:
    """Raises DocumentError; what is wrong with single values is told all at once."""
    faults: list[Fault] = []
    _check(value, None, 1, limits.num_keys, faults)
    if faults and not limits.any_value:
        raise DocumentError(faults[0].code, faults=tuple(faults))


def too_deep() -> DocumentError:
    return DocumentError("too_deep", most=MAX_DEPTH)


def too_many_values(most: int) -> DocumentError:
    return DocumentError("too_many_values", most=most)


def too_many_keys(most: int, trail: Trail) -> DocumentError:
    return DocumentError(
        "too_many_values", pointer=pointer_of(trail), most=most, where="in one mapping"
    )


def _check(value: Any, trail: Trail, depth: int, num_keys: int, faults: list[Fault]) -> None:
    if depth > MAX_DEPTH:
        raise too_deep()
    if type(value) is dict:
        _check_keys(value, trail, num_keys, faults)
    for key, inner in value.items() if type(value) is dict else enumerate(value):
        kind = type(inner)
        if kind is str:
            if not inner.isascii() or "\0" in inner:
                _check_text(inner, (trail, key), faults)
        elif kind is dict or kind is list:
            _check(inner, (trail, key), depth + 1, num_keys, faults)
        elif kind is int:
            if not -_MAX_INTEGER <= inner <= _MAX_INTEGER:
                _add(faults, (trail, key), "number_out_of_range")
        elif kind is Duplicate:
            raise DocumentError(
                "duplicate_key", pointer=pointer_of((trail, key)), key=inner.key[:80]
            )


def _check_keys(
    value: Mapping[str, object], trail: Trail, num_keys: int, faults: list[Fault]
) -> None:
    if len(value) > num_keys:
        raise too_many_keys(num_keys, trail)
    for key in value:
        if len(key) > MAX_KEY_LENGTH:
            raise DocumentError("key_too_long", pointer=pointer_of(trail), most=MAX_KEY_LENGTH)
        if not key.isascii() or "\0" in key:
            _check_text(key, (trail, key), faults)


def _check_text(text: str, trail: Trail, faults: list[Fault]) -> None:
    found = _UNSAFE.search(text)
    if found is not None:
        code = f"U+{ord(found[0]):04X}"
        _add(faults, trail, "unsafe_character", character=code)


def _add(faults: list[Fault], trail: Trail, code: str, **params: str | int) -> None:
    if len(faults) < MAX_FAULTS:
        faults.append(Fault(pointer_of(trail), code, params))
