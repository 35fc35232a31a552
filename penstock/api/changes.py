"""The change feed: which objects changed, and how many there are of what."""

from __future__ import annotations

from pydantic import Field

from penstock.api.base import View
from penstock.api.ids import ProjectId


class Change(View):
    """An object as of this version or a later one. A job's change covers its gangs, replicas and
    checkpoints, a node's its chips.
    """

    noun: str
    id: str
    version: int
    project: ProjectId | None = Field(default=None, description="id of its project")


class ChipCount(View):
    """Chips of one type, without those of retired nodes."""

    vendor: str
    type: str
    total: int
    unhealthy: int
    held: float = Field(description="held by leases, in chips")


class Counts(View):
    """Jobs that the caller may see, and the pool."""

    jobs: dict[str, dict[str, int]] = Field(description="queue to state to number")
    nodes: dict[str, dict[str, int]] = Field(description="health to intent to number")
    chips: list[ChipCount]


class Changes(View):
    """What changed since the message before, each object once. After `reset` nobody knows what
    did: list anew.
    """

    reset: bool = False
    changes: list[Change] = Field(default_factory=list)
    counts: Counts | None = Field(default=None, description="null where they are as before")
