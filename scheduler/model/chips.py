"""Nodes with their chips, as the scheduler sees them. Chips are counted in thousandths (`milli`),
host cores too; memory is in bytes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final, NewType

ChipId = NewType("ChipId", str)
NodeId = NewType("NodeId", str)

ANY: Final = "any"
WHOLE: Final = 1000
"""Thousandths of a whole chip."""


class Closed(StrEnum):
    """Why a node takes no new work: its health or its operator's intent."""

    RETIRED = "retired"
    LOST = "lost"
    JOINING = "joining"
    SUSPECT = "suspect"
    DRAINING = "draining"
    CORDONED = "cordoned"


@dataclass(frozen=True, slots=True)
class Chip:
    """One schedulable device. `free + releasing + held by running replicas` is a whole."""

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
    free_milli: int = WHOLE
    releasing_milli: int = 0
    """Held by replicas that are stopping, or by leases that wait for their expiry."""
    cores_milli: int = 0
    """Host cores that the whole chip takes when leased; 0: the device declares none."""
    trainable: bool = True
    """Whether the trainer can drive it."""

    def held(self, free_milli: int, releasing_milli: int) -> Chip:
        """The same chip with so much of it free; made by hand, since there are ten thousands."""
        return Chip(
            self.id,
            self.node_id,
            self.index,
            self.type,
            self.vendor,
            self.memory_bytes,
            self.dtypes,
            self.emulated,
            self.stands_for,
            self.healthy,
            free_milli,
            releasing_milli,
            self.cores_milli,
            self.trainable,
        )

    @property
    def is_processor(self) -> bool:
        """Whether it is the host's own."""
        return self.cores_milli > 0 and not self.emulated


@dataclass(frozen=True, slots=True)
class HostShare:
    """Host cores and memory held on one node."""

    cores_milli: int
    memory_bytes: int


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
