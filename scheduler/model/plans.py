"""What the scheduler answers: actions, kept seats, and the codes of why the rest waits."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from scheduler.model.chips import ChipId, NodeId
from scheduler.model.gangs import GangId, JobId


class Code(StrEnum):
    """Stable words for why a gang waits, or why chips are no candidates for it."""

    BACKING_OFF = "backing_off"
    NO_NODES = "no_nodes"
    VENDOR = "vendor"
    TYPE = "type"
    PASSED_OVER = "passed_over"
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
class Place:
    """A whole gang starts here. `version` is the gang's, as the snapshot saw it."""

    gang_id: GangId
    job_id: JobId
    seats: tuple[Seat, ...]
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
class Outranked:
    """Why a gang has to go: a job of its own project that needs its place has a higher priority."""

    by_job: str
    """Its name."""
    priority: int
    victim_priority: int


@dataclass(frozen=True, slots=True)
class Preempt:
    """A running gang has to make room."""

    victim_id: GangId
    for_gang_id: GangId
    reason: Outranked
    version: int = 0


Action = Place | Preempt


@dataclass(frozen=True, slots=True)
class Plan:
    """One cycle's decisions. Every queued gang is either placed or deferred with a code."""

    actions: tuple[Action, ...] = ()
    deferrals: Mapping[GangId, Code] = field(default_factory=dict)
    holds: tuple[Hold, ...] = ()

    @property
    def placements(self) -> tuple[Place, ...]:
        return tuple(it for it in self.actions if isinstance(it, Place))

    @property
    def preemptions(self) -> tuple[Preempt, ...]:
        return tuple(it for it in self.actions if isinstance(it, Preempt))
