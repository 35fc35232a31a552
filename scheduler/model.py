"""What the scheduler is given and what it answers: snapshot in, plan out.

Frozen values only; they decide nothing. Ids are opaque. Chips are counted in thousandths
(`milli`), host cores too; memory is in bytes; times are aware UTC.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Final, NewType

ChipId = NewType("ChipId", str)
NodeId = NewType("NodeId", str)
GangId = NewType("GangId", str)
JobId = NewType("JobId", str)

ANY: Final = "any"
WHOLE: Final = 1000
"""Thousandths of a whole chip."""
TASK_CORES_MILLI: Final = 1000
"""Host cores of a member that asks for no chip and names none."""
TASK_MEMORY_BYTES: Final = 2**30
"""Host memory of a member that asks for no chip and names none."""


class JobType(StrEnum):
    TRAIN = "train"
    SERVE = "serve"
    TASK = "task"


class Closed(StrEnum):
    """Why a node takes no new work: its health or its operator's intent."""

    RETIRED = "retired"
    LOST = "lost"
    JOINING = "joining"
    SUSPECT = "suspect"
    DRAINING = "draining"
    CORDONED = "cordoned"


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
class Rate:
    """A speed with where the number came from: datasheet, declared, conformance, observed, …"""

    value: float
    origin: str


@dataclass(frozen=True, slots=True)
class Chip:
    """One schedulable device. `free + releasing + held by running replicas = capacity`."""

    id: ChipId
    node_id: NodeId
    index: int
    type: str
    vendor: str
    memory_bytes: int | None = None
    dtypes: frozenset[str] = frozenset()
    emulated: bool = False
    stands_for: str | None = None
    healthy: bool = True
    capacity_milli: int = WHOLE
    free_milli: int = WHOLE
    releasing_milli: int = 0
    """Held by replicas that are stopping, or by leases that wait for their expiry."""
    cores_milli: int = 0
    """Host cores that the whole chip takes when leased; 0: the device declares none."""


@dataclass(frozen=True, slots=True)
class Node:
    """One machine with its chips. Host cores and memory are counted like chips."""

    id: NodeId
    name: str
    cores_milli: int
    memory_bytes: int
    free_cores_milli: int
    free_memory_bytes: int
    releasing_cores_milli: int = 0
    releasing_memory_bytes: int = 0
    closed: Closed | None = None
    """None: takes new work."""
    labels: Mapping[str, str] = field(default_factory=dict)
    chips: tuple[Chip, ...] = ()

    @property
    def accepting(self) -> bool:
        return self.closed is None


@dataclass(frozen=True, slots=True)
class MemberRequest:
    """What each member of a gang asks for. All chips of a member are on one node, of one type."""

    chips: int = 0
    milli: int = WHOLE
    """Thousandths of each chip; less than a whole chip only with `chips` = 1."""
    wish: tuple[str, ...] = (ANY,)
    """`any`, chip types and vendors, in order of preference."""
    memory_bytes: int | None = None
    """At least this much device memory per chip, within the held part."""
    dtype: str | None = None
    cores_milli: int | None = None
    """Host cores; None: the chips' share."""
    host_memory_bytes: int | None = None
    """Host memory; None: the chips' share."""


@dataclass(frozen=True, slots=True)
class Work:
    """What the throughput model needs to know of a gang's work."""

    work_class: str = ""
    """Key of measured speeds, for example `train/llama-2x128`; empty: unknown."""
    flops_per_token: float | None = None
    bytes_per_token: float | None = None
    """Device memory traffic; with the line above, the roofline of an unmeasured chip type."""


@dataclass(frozen=True, slots=True)
class Gang:
    """Members that are placed all or none, between `least` and `most` of them."""

    id: GangId
    job_id: JobId
    job_name: str
    project: str
    queue: str
    priority: int
    created_at: datetime
    type: JobType = JobType.TASK
    least: int = 1
    most: int = 1
    request: MemberRequest = MemberRequest()
    mix: bool = False
    """The gang may span chip types; each member still has one."""
    spread: bool = False
    """Prefer chip types on which fewer siblings (gangs of the same job) are."""
    sibling_types: Mapping[str, int] = field(default_factory=dict)
    """Chip type → siblings that hold it now."""
    work: Work = Work()
    not_before: datetime | None = None
    """End of the back-off after a failed attempt."""
    version: int = 0


@dataclass(frozen=True, slots=True)
class HostShare:
    """Host cores and memory held on one node."""

    cores_milli: int
    memory_bytes: int


@dataclass(frozen=True, slots=True)
class RunningGang:
    """A placed gang with what it holds. `releasing` ones are in the nodes' releasing counts."""

    id: GangId
    job_id: JobId
    job_name: str
    queue: str
    priority: int
    started_at: datetime
    type: JobType = JobType.TASK
    project: str = ""
    preemptible: bool = True
    releasing: bool = False
    chips: Mapping[ChipId, int] = field(default_factory=dict)
    """Chip → thousandths."""
    hosts: Mapping[NodeId, HostShare] = field(default_factory=dict)
    lost_work_s: float = 0.0
    """Seconds of work since the last checkpoint: what a preemption would throw away."""
    version: int = 0


@dataclass(frozen=True, slots=True)
class Queue:
    """Where jobs wait, and how many chips its jobs may hold at once."""

    name: str
    limits: Mapping[str, int] = field(default_factory=dict)
    """Chip type, or `any` for all types together → whole chips."""
    used_milli: Mapping[str, int] = field(default_factory=dict)
    """Chip type → thousandths that leases of this queue's jobs hold, releasing ones included."""
    releasing_milli: Mapping[str, int] = field(default_factory=dict)
    """The part of `used_milli` that is being released."""


@dataclass(frozen=True, slots=True)
class Speeds:
    """The throughput model as the cycle reads it."""

    measured: Mapping[tuple[str, str], Rate] = field(default_factory=dict)
    """(work class, chip type) → tokens/s of one whole chip."""
    rates: Mapping[str, Mapping[str, Rate]] = field(default_factory=dict)
    """Chip type → `flops.<dtype>` in FLOP/s, `memory` in B/s, `speed` as declared."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Everything that one cycle decides on."""

    nodes: tuple[Node, ...] = ()
    queued: tuple[Gang, ...] = ()
    running: tuple[RunningGang, ...] = ()
    queues: tuple[Queue, ...] = ()
    """A queue that is not listed has no limits."""
    speeds: Speeds = Speeds()
    vendors: frozenset[str] = frozenset()
    """Names that mean a vendor, so that a wish for one can be told from a chip type."""


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
