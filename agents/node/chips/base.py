"""What every chip provider is given and gives back. Vendors' facts live in their own files.

A provider is the file `agents/node/chips/<vendor>.py` with a function `provider(context)`; its
name is its key in the vendor table. Nothing else has to know it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from agents.node.hardware.roots import HostRoots
from penstock.api.assignments import AssignedChip
from penstock.api.chips import ChipReport, ChipSample
from penstock.api.ids import ReplicaId
from penstock.api.vendors import Vendor


class ProbeError(Exception):
    """An expected reason why a provider cannot read its chips; its text is shown to people."""


@dataclass(frozen=True, slots=True)
class HeldUse:
    """What one replica has used so far of one chip that is made of host cores.

    A replica on several chips splits its use in proportion to their cores: see `split_use`.
    """

    replica_id: ReplicaId
    cpu_s: float | None
    memory_bytes: int | None


ChipUse = Callable[[], Mapping[str, Sequence[HeldUse]]]
"""Answers the current holders of each chip by chip key. Chips without holders are left out."""


@dataclass(frozen=True, slots=True)
class ChipContext:
    """Everything a provider may look at. `clock` is monotonic seconds.

    `emulated` is the fleet to emulate, as in `emulated-a100:2,emulated-910b:4`. `allowed_cpus`
    None means every CPU of the host. `measure` lets slow measurements start in the background.
    """

    vendors: Mapping[str, Vendor]
    state_dir: Path
    emulated: str = ""
    roots: HostRoots = field(default_factory=HostRoots)
    allowed_cpus: frozenset[int] | None = None
    use: ChipUse | None = None
    measure: bool = True
    clock: Callable[[], float] = time.monotonic


@dataclass(frozen=True, slots=True)
class Dropped:
    """A device, or a whole vendor, that is left out of the inventory."""

    vendor: str
    device: str
    reason: str

    def __str__(self) -> str:
        return f"{f'{self.vendor} {self.device}'.strip()}: {self.reason}"


@dataclass(frozen=True, slots=True)
class ProbeResult:
    chips: tuple[ChipReport, ...] = ()
    dropped: tuple[Dropped, ...] = ()


class ChipProvider(Protocol):
    """One vendor's chips on this node. Calls come one at a time, each from another thread.

    Expected failures are ProbeError or OSError. A chip that fails alone is dropped alone; all
    chips failing is a ProbeError or as many drops, never an empty result.
    """

    def probe(self) -> ProbeResult:
        """The chips that are there now, in the order of their index."""

    def sample(self) -> Sequence[ChipSample]:
        """One reading per chip of the last probe; what cannot be read is null."""

    def holders(self) -> Mapping[str, tuple[int, ...]]:
        """Process ids now using each chip, by chip key; a chip that cannot tell is left out."""


def split_use(
    replica_id: ReplicaId,
    cpu_s: float | None,
    memory_bytes: int | None,
    chips: Sequence[AssignedChip],
) -> dict[str, HeldUse]:
    """One replica's CPU seconds and memory spread over its chips by their cores, by chip key."""
    total = sum(chip.cores_milli for chip in chips)
    return {
        chip.key: HeldUse(
            replica_id,
            None if cpu_s is None else cpu_s * chip.cores_milli / total,
            None if memory_bytes is None else memory_bytes * chip.cores_milli // total,
        )
        for chip in chips
        if total and chip.cores_milli
    }
