"""Answers to "would it fit", "why does it wait", and what a scheduling cycle decided."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from pydantic import Field, JsonValue

from penstock.api.base import View
from penstock.api.ids import CycleId


class Removal(View):
    """One constraint and how many chips of each type it removed from consideration."""

    code: str = Field(description="vendor, type, memory, dtype, cordoned, health, share, busy, …")
    message: str
    chips: dict[str, int] = Field(default_factory=dict, description="chip type to chips removed")


class Explanation(View):
    """Why a job is where it is: one true sentence, the counts behind it, and a way out."""

    job: str
    state: str
    code: str
    sentence: str
    params: Mapping[str, JsonValue] = Field(
        default_factory=dict, description="what the sentence is made of"
    )
    removals: list[Removal] = Field(default_factory=list)
    unblock: list[str] = Field(default_factory=list, description="what would let it start")
    queue_position: int | None = None
    ahead: list[str] = Field(default_factory=list, description="names of the jobs before it")
    cycle: str | None = None
    as_of: datetime


class PlannedReplica(View):
    rank: int
    node: str
    chips: dict[str, int] = Field(default_factory=dict, description="chip type to thousandths")


class PlanAnswer(View):
    """Answer of the dry run `POST /plan`."""

    fits: bool
    sentence: str
    replicas: list[PlannedReplica] = Field(default_factory=list)
    preempts: list[str] = Field(default_factory=list)
    removals: list[Removal] = Field(default_factory=list)
    unblock: list[str] = Field(default_factory=list)


class Cycle(View):
    """The record of one scheduling cycle."""

    id: CycleId
    epoch: int
    trigger: str
    started_at: datetime
    duration_s: float
    saw: dict[str, int] = Field(default_factory=dict)
    placed: list[dict[str, Any]] = Field(default_factory=list)
    preempted: list[dict[str, Any]] = Field(default_factory=list)
    deferred: list[dict[str, Any]] = Field(default_factory=list)
    committed: bool
    message: str = ""
