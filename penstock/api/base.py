"""The base classes of every wire type: strict on what comes in, stable in what goes out."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Generic, TypeVar

from pydantic import BaseModel, ConfigDict, FailFast, Field, JsonValue


class _FirstFault(FailFast):
    """pydantic's, which may be a member of a union too."""

    __hash__ = object.__hash__


class Strict(BaseModel):
    """A type that users or agents send: unknown fields are refused, values are immutable."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class View(BaseModel):
    """A type that the server answers with: clients of an older version ignore new fields."""

    model_config = ConfigDict(extra="ignore", frozen=True)


class CodedMessage(View):
    """What people are told: in English, and as a code with what it takes to say it otherwise."""

    message: str = Field(description="one sentence for people")
    code: str = Field(default="", description="which sentence it is")
    params: Mapping[str, JsonValue] = Field(
        default_factory=dict, description="what is filled in: values, and messages of their own"
    )


class Stateful(CodedMessage):
    """The fields that describe every state, everywhere."""

    state: str
    reason: str = Field(description="stable word for why the object is in this state")
    since: datetime


ItemT = TypeVar("ItemT")
Many = Annotated[tuple[ItemT, ...], _FirstFault()]
"""A list that may be long: its first wrong item is told, and nobody looks for the others."""


class Page(View, Generic[ItemT]):
    """One page of a list; `next` is an opaque cursor, null on the last page."""

    items: list[ItemT]
    next: str | None = None
