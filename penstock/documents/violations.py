"""Turns pydantic's list of errors into the violations that every Penstock error carries.

One violation per place, with the nearest valid name and the values allowed; what was received is
never repeated where it may be a secret.
"""

from __future__ import annotations

import difflib
import itertools
import typing
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from pydantic import BaseModel, ValidationError

from penstock.api.errors import Violation
from penstock.api.messages import Message, say
from penstock.catalogue import render
from penstock.documents import escape_pointer
from penstock.documents.sentences import Details, message_of, words_expected

MAX_VIOLATIONS: Final = 20
MAX_COMPARED: Final = 100
MAX_COMPARED_LENGTH: Final = 64
MAX_SHOWN: Final = 80
_SECRET_FIELDS: Final = frozenset(
    {"env", "secrets", "token", "join_token", "credential", "secret", "webhook"}
)


def violations_of(
    error: ValidationError, model: type[BaseModel], document: object
) -> list[Violation]:
    """All that is wrong with `document` as a `model`, one entry per JSON pointer."""
    return violations_from(error.errors(include_url=False), model, document)


def violations_from(
    errors: Iterable[Details], model: type[BaseModel], document: object
) -> list[Violation]:
    """The same from pydantic's error dictionaries, with `loc` relative to `document`."""
    found: dict[str, Violation] = {}
    kinds: dict[str, str] = {}
    for details in errors:
        path = _path(details, document)
        pointer = "".join(f"/{escape_pointer(part)}" for part in path)
        before = found.get(pointer)
        if before is None and len(found) == MAX_VIOLATIONS:
            break  # each one more costs time, and nobody reads it
        violation = _violation(details, pointer, path, model)
        found[pointer] = _either(before, violation) if before else violation
        kinds.setdefault(pointer, details["type"])
    _join_misspelt(found, kinds)
    return [one for one in found.values() if not _is_deeper(one, found)]


def nearest(name: str, names: Iterable[str]) -> str | None:
    """The valid name that `name` was probably meant to be, or None. Of many names only the first
    are compared, and long ones not at all: the search takes time with the square of both.
    """
    if len(name) > MAX_COMPARED_LENGTH:
        return None
    few = itertools.islice(names, MAX_COMPARED)
    by_folded = {one.lower(): one for one in few if len(one) <= MAX_COMPARED_LENGTH}
    close = difflib.get_close_matches(name.lower(), list(by_folded), n=1, cutoff=0.6)
    return by_folded[close[0]] if close else None


def _join_misspelt(found: dict[str, Violation], kinds: Mapping[str, str]) -> None:
    """A needed field that is there under a misspelt name is one mistake, told at that name."""
    for pointer in [one for one, kind in kinds.items() if kind == "extra_forbidden"]:
        parent, _, word = pointer.rpartition("/")
        absent = [
            one.rpartition("/")[2]
            for one in found
            if kinds[one] == "missing" and one.rpartition("/")[0] == parent
        ]
        meant = nearest(word, absent)
        if meant is not None:
            found[pointer] = found[pointer].model_copy(update={"did_you_mean": meant})
            del found[f"{parent}/{meant}"]


def _is_deeper(violation: Violation, found: Mapping[str, Violation]) -> bool:
    """A value that fits no literal of a union is wrong only inside if it fits another member."""
    below = violation.pointer + "/"
    return bool(violation.allowed) and any(pointer.startswith(below) for pointer in found)


def _path(details: Details, document: object) -> list[str | int]:
    """The steps of `loc` that exist in the document; pydantic adds names of union members."""
    path: list[str | int] = []
    value = document
    steps = list(details["loc"])
    for step in steps:
        inner = _step(value, step)
        if inner is not _ABSENT:
            path.append(step)
            value = inner
        elif details["type"] == "missing" and step is steps[-1]:
            path.append(step)
    return path


_ABSENT: Final = object()


def _step(value: object, step: str | int) -> object:
    if isinstance(value, Mapping):
        return value.get(step, _ABSENT)
    if isinstance(value, Sequence) and not isinstance(value, str | bytes):
        return value[step] if isinstance(step, int) and step < len(value) else _ABSENT
    return _ABSENT


def _violation(
    details: Details, pointer: str, path: Sequence[str | int], model: type[BaseModel]
) -> Violation:
    kind, received = details["type"], details.get("input")
    allowed = _allowed(details, path, model)
    guess = None
    if allowed is not None and kind != "missing":
        word = path[-1] if kind == "extra_forbidden" and path else received
        guess = nearest(word, allowed) if isinstance(word, str) else None
    hide = kind in ("missing", "extra_forbidden") or not _SECRET_FIELDS.isdisjoint(map(str, path))
    message = _message(details, path)
    return Violation(
        pointer=pointer,
        message=render(message),
        code=message.code,
        params=dict(message.params),
        received=None if hide else _shown(received),
        allowed=allowed,
        did_you_mean=guess,
    )


def _allowed(
    details: Details, path: Sequence[str | int], model: type[BaseModel]
) -> list[str] | None:
    if details["type"] == "extra_forbidden":
        return _fields(model, path[:-1])
    if details["type"] in ("literal_error", "enum"):
        return words_expected(details)
    return None


def _fields(model: type[BaseModel], path: Sequence[str | int]) -> list[str] | None:
    """Field names of the model that stands at `path` inside `model`."""
    current: type[BaseModel] | None = model
    for step in path:
        if isinstance(step, int):
            continue
        info = current.model_fields.get(step) if current else None
        current = _model_in(info.annotation) if info else None
    return list(current.model_fields) if current else None


def _model_in(annotation: object) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    for inner in typing.get_args(annotation):
        found = _model_in(inner)
        if found is not None:
            return found
    return None


def _message(details: Details, path: Sequence[str | int]) -> Message:
    name = str(path[-1])[:MAX_SHOWN] if path else ""
    if details["type"] == "extra_forbidden":
        return say("extra_forbidden", field=name)
    if details["type"] == "missing":
        return say("field_missing", field=name)
    return message_of(details)


def _either(first: Violation, second: Violation) -> Violation:
    """Two members of a union both refused the value: say both, once."""
    if second.message in first.message:
        return first
    either = say(
        "either",
        first=Message(first.code, first.params),
        second=Message(second.code, second.params),
    )
    return first.model_copy(
        update={
            "message": render(either),
            "code": either.code,
            "params": dict(either.params),
            "allowed": first.allowed or second.allowed,
            "did_you_mean": first.did_you_mean or second.did_you_mean,
        }
    )


def _shown(value: object) -> object:
    """A short, safe form of what was received."""
    if value is None or isinstance(value, bool | int | float):
        return value
    if not isinstance(value, str):
        return "a mapping" if isinstance(value, Mapping) else "a list"
    return value if len(value) <= MAX_SHOWN else value[: MAX_SHOWN - 1] + "…"
