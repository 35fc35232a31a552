"""Finds what pydantic would silently take for something else: `true` for 1, a number for a time."""

from __future__ import annotations

import types
import typing
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Any, Final

from pydantic import BaseModel

Path = tuple[str | int, ...]
Details = dict[str, object]
MAX_FOUND: Final = 20
_NUMBERS: Final = {int: "int_type", float: "float_type"}
_UNIONS: Final = (typing.Union, types.UnionType)


@dataclass(frozen=True, slots=True)
class _Shape:
    """What may stand at one place: worked out once for each type, not for each value."""

    refused: Mapping[type, str]
    models: tuple[type[BaseModel], ...]
    values: tuple[_Shape, ...]
    items: tuple[_Shape, ...]

    def at(self, key: str) -> Iterator[_Shape]:
        for model in self.models:
            inner = _fields(model).get(key)
            if inner is not None:
                yield inner
        yield from self.values


def misread_values(model: type[BaseModel], document: Mapping[str, object]) -> list[Details]:
    """The first errors, in pydantic's form, of a document that is to become a `model`."""
    found: list[Details] = []
    _look(_Shape({}, (model,), (), ()), document, (), found)
    return found


def _look(shape: _Shape, value: object, path: Path, found: list[Details]) -> None:
    error = shape.refused.get(type(value))
    if error is not None:
        message = "must be a time such as 2026-01-31T12:00:00Z"
        found.append({"type": error, "loc": path, "msg": message, "input": value})
    for step, wanted, inner in _inside(shape, value):
        if len(found) < MAX_FOUND and type(inner) is not str:
            _look(wanted, inner, (*path, step), found)


def _inside(shape: _Shape, value: object) -> Iterator[tuple[str | int, _Shape, object]]:
    if type(value) is dict:
        for key, inner in value.items():
            yield from ((key, wanted, inner) for wanted in shape.at(key))
    elif type(value) is list:
        for wanted in shape.items:
            yield from ((index, wanted, inner) for index, inner in enumerate(value))


@cache
def _fields(model: type[BaseModel]) -> Mapping[str, _Shape]:
    return {name: _shape(field.annotation) for name, field in model.model_fields.items()}


def _shape(annotation: object) -> _Shape:
    members = list(_members(annotation))
    arguments = [(typing.get_origin(one), typing.get_args(one)) for one in members]
    return _Shape(
        dict(_refused(members)),
        tuple(one for one in members if isinstance(one, type) and issubclass(one, BaseModel)),
        tuple(_shape(given[1]) for origin, given in arguments if origin is dict),
        tuple(_shape(given[0]) for origin, given in arguments if origin in (tuple, list)),
    )


def _refused(members: list[object]) -> Iterator[tuple[type, str]]:
    """Kinds of values that pydantic would take for a member that they are not."""
    if Any in members:
        return
    numbers = [_NUMBERS[one] for one in members if one in _NUMBERS]
    if numbers and bool not in members:
        yield bool, numbers[0]
    if datetime in members:
        yield from ((kind, "datetime_type") for kind in _NUMBERS if kind not in members)


def _members(annotation: object) -> Iterator[object]:
    """The members of a union, without their annotations."""
    origin = typing.get_origin(annotation)
    if origin is typing.Annotated:
        yield from _members(typing.get_args(annotation)[0])
    elif origin in _UNIONS:
        for one in typing.get_args(annotation):
            yield from _members(one)
    else:
        yield annotation
