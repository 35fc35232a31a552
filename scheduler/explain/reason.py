"""What is known of why a gang waits: the constraint that binds, and the counts behind it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from scheduler.model import Code, LimitHit


@dataclass(frozen=True, slots=True)
class Blocker:
    """A job that holds what a gang needs."""

    job_name: str
    priority: int
    chips: Mapping[str, int] = field(default_factory=dict)
    """Chip type → chips that the gang could use; empty where it is in the way on the host."""


@dataclass(frozen=True, slots=True)
class Reason:
    """Why a gang waits. `code` is the constraint that binds; the rest are the counts behind it."""

    code: Code
    cause: Code | None = None
    """Where some members fit (`gang_partly_fits`): what stops the others."""
    removed: Mapping[Code, Mapping[str, int]] = field(default_factory=dict)
    """In pipeline order: constraint → chip type → chips that it removed. A chip counts once."""
    members_fit: int = 0
    """Members that could start now; in an empty pool where even that is too small."""
    short: Mapping[str, int] = field(default_factory=dict)
    """Chip type → thousandths of chips that would have to come free; any one type would do."""
    short_cores_milli: int = 0
    short_memory_bytes: int = 0
    """Host cores and memory that would have to come free."""
    blockers: tuple[Blocker, ...] = ()
    """Who holds what the gang needs, highest priority first; the first ten."""
    num_blockers: int = 0
    limit: LimitHit | None = None
    until: datetime | None = None
    """End of the back-off."""
