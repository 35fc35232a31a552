"""What people are told, before it is words: a code and its parameters. `penstock/catalogue` has the
words.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from pydantic import JsonValue  # takes time to import

    Parameter: TypeAlias = (
        "JsonValue | datetime | Message | Sequence[Message] | Sequence[str] | Mapping[str, int]"
    )


@dataclass(frozen=True, slots=True)
class Message:
    """One thing to tell. Parameters may be messages, as documents."""

    code: str
    params: Mapping[str, JsonValue] = field(default_factory=dict)

    @property
    def document(self) -> dict[str, JsonValue]:
        return {"code": self.code, "params": dict(self.params)}


def say(code: str, /, **params: Parameter) -> Message:
    """The message of that code, which the catalogue has."""
    return Message(code, as_params(params))


def as_params(given: Mapping[str, Parameter]) -> dict[str, JsonValue]:
    """Parameters as they travel."""
    return {name: _plain(value) for name, value in given.items()}


def said(text: str) -> Message:
    """Words that are not ours: of a workload, an agent, or a row that an older server wrote."""
    return say("said", said=text)


def _plain(value: Parameter) -> JsonValue:
    if isinstance(value, Message):
        return value.document
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [_plain(it) for it in value]
    return value
