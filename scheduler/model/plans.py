"""What the scheduler answers: placements, preemptions, kept seats, and why the rest waits."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from scheduler.model.chips import ChipId, NodeId
from scheduler.model.gangs import GangId, JobId


class Code(StrEnum):
    """Stable words for why a gang waits, or why chips are no candidates for it."""

    BACKING_OFF = "backing_off"
    NO_NODES = "no_nodes"
    VENDOR = "vendor"
    TYPE = "type"
    MEMORY = "memory"
    DTYPE = "dtype"
    TOO_MANY_CHIPS = "too_many_chips"
    HEALTH = "health"
    RETIRED = "retired"
    LOST = "lost"
    JOINING = "joining"
    SUSPECT = "suspect"
    DRAINING = "draining"
    CORDONED = "cordoned"
    HOST_CORES = "host_cores"
    HOST_MEMORY = "host_memory"
    QUEUE_LIMIT = "queue_limit"
    SHARE = "share"
    BUSY = "busy"
    WAITING_FOR_RELEASE = "waiting_for_release"
    PREEMPTING = "preempting"
    BEHIND_HIGHER_PRIORITY = "behind_higher_priority"
    GANG_PARTLY_FITS = "gang_partly_fits"


@dataclass(frozen=True, slots=True)
class Seat:
    """What one member gets."""

    rank: int
    node_id: NodeId
    chips: Mapping[ChipId, int]
    """Chip → thousandths; empty for a member without chips."""
    cores_milli: int
    memory_bytes: int


@dataclass(frozen=True, slots=True)
class Placement:
    """A whole gang starts here. `version` is the gang's, as the snapshot saw it."""

    gang_id: GangId
    job_id: JobId
    seats: tuple[Seat, ...]
    version: int = 0


@dataclass(frozen=True, slots=True)
class Preemption:
    """A running gang has to make room."""

    victim_id: GangId
    for_gang_id: GangId
    reason: str
    """One sentence for the victim's owner: jobs of other projects have no names in it."""
    version: int = 0


@dataclass(frozen=True, slots=True)
class Hold:
    """Seats kept for a gang that waits for releases; nobody behind it may take them."""

    gang_id: GangId
    seats: tuple[Seat, ...]


@dataclass(frozen=True, slots=True)
class LimitHit:
    """The queue limit that stops a gang, in thousandths of a chip."""

    queue: str
    resource: str
    """A chip type, or `any`."""
    limit_milli: int
    used_milli: int
    asked_milli: int


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


@dataclass(frozen=True, slots=True)
class Plan:
    """One cycle's decisions. Every queued gang is either placed or deferred."""

    placements: tuple[Placement, ...] = ()
    preemptions: tuple[Preemption, ...] = ()
    deferrals: Mapping[GangId, Reason] = field(default_factory=dict)
    holds: tuple[Hold, ...] = ()
