"""Finds what pydantic would silently take for something else: `true` for 1, a number for a time."""

from __future__ import annotations

import types
import typing
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from pydantic import BaseModel

Path = tuple[str | int, ...]
_NUMBERS: Final = {int: "int_type", float: "float_type"}
_UNIONS: Final = (typing.Union, types.UnionType)


def misread_values(annotation: Any, value: Any, path: Path = ()) -> Iterator[dict[str, Any]]:
    """Error details in pydantic's form, for a document that is to become an `annotation`."""
    if isinstance(value, bool | int | float):
        kind = _wanted_instead(annotation, value)
        if kind is not None:
            message = "must be a time such as 2026-01-31T12:00:00Z"
            yield {"type": kind, "loc": path, "msg": message, "input": value}
    elif isinstance(value, Mapping):
        for key, inner in value.items():
            for wanted in _wanted_at(annotation, key):
                yield from misread_values(wanted, inner, (*path, key))
    elif isinstance(value, Sequence) and not isinstance(value, str):
        for index, inner in enumerate(value):
            for wanted in _wanted_items(annotation):
                yield from misread_values(wanted, inner, (*path, index))


def _wanted_instead(annotation: Any, value: bool | float) -> str | None:
    """The error that this is here; None where it, or anything, may stand."""
    members = list(_members(annotation))
    if type(value) in members or Any in members:
        return None
    if isinstance(value, bool):
        return next((_NUMBERS[member] for member in members if member in _NUMBERS), None)
    return "datetime_type" if datetime in members else None


def _wanted_at(annotation: Any, key: str) -> Iterator[Any]:
    for member in _members(annotation):
        if isinstance(member, type) and issubclass(member, BaseModel):
            field = member.model_fields.get(key)
            if field is not None:
                yield field.annotation
        elif typing.get_origin(member) is dict:
            yield typing.get_args(member)[1]


def _wanted_items(annotation: Any) -> Iterator[Any]:
    for member in _members(annotation):
        if typing.get_origin(member) in (tuple, list):
            yield typing.get_args(member)[0]


def _members(annotation: Any) -> Iterator[Any]:
    """The members of a union, without their annotations."""
    origin = typing.get_origin(annotation)
    if origin is typing.Annotated:
        yield from _members(typing.get_args(annotation)[0])
    elif origin in _UNIONS:
        for one in typing.get_args(annotation):
            yield from _members(one)
    else:
        yield annotation
