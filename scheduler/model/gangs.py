"""Gangs that wait and gangs that run, their queues, and the snapshot that a cycle decides on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Final, NewType

from scheduler.model.chips import ANY, WHOLE, ChipId, HostShare, Node, NodeId
from scheduler.model.speeds import Speeds

GangId = NewType("GangId", str)
JobId = NewType("JobId", str)

TASK_CORES_MILLI: Final = 1000
"""Host cores of a member that asks for no chip and names none."""
TASK_MEMORY_BYTES: Final = 2**30
"""Host memory of a member that asks for no chip and names none."""


class JobType(StrEnum):
    TRAIN = "train"
    SERVE = "serve"
    TASK = "task"


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
    """What the throughput model needs to know of a gang's work, or of one phase of it."""

    work_class: str = ""
    """Key of measured speeds; empty: unknown."""
    flops_per_token: float | None = None
    bytes_per_token: float | None = None
    """Device memory traffic; with the line above, the roofline of an unmeasured chip type."""
    dtype: str = ""
    """What it computes in; empty: unknown."""
    prefill: Work | None = None
    """The phase before it, where it is a server's decoding."""


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
    saved_at: datetime | None = None
    """Of its last checkpoint, or of its start: a preemption would throw away what came after."""
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
class Snapshot:
    """Everything that one cycle decides on."""

    nodes: tuple[Node, ...] = ()
    queued: tuple[Gang, ...] = ()
    running: tuple[RunningGang, ...] = ()
    queues: tuple[Queue, ...] = ()
    """A queue that is not listed has no limits."""
    speeds: Speeds = field(default_factory=Speeds)
    vendors: frozenset[str] = frozenset()
    """Names that mean a vendor, so that a wish for one can be told from a chip type."""
    columns: object = field(default=None, compare=False, repr=False)
    """The nodes in columns (`scheduler.snapshot.columns`), where somebody keeps them."""
