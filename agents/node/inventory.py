"""Watches the node itself: its inventory and the use of its chips, cores and memory."""

from __future__ import annotations

import asyncio
import platform
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import psutil

from agents.node.chips.base import Dropped, ProbeResult
from agents.node.hardware.host import Capacity
from penstock import __version__
from penstock.api.assignments import Inventory
from penstock.api.chips import ChipSample

Probe = Callable[[], ProbeResult]
Sample = Callable[[], tuple[ChipSample, ...]]


@dataclass(frozen=True, slots=True)
class Host:
    """What does not change while the agent runs, but for what `limits` finds out at work."""

    capacity: Capacity
    address: str
    labels: Mapping[str, str]
    limits: Callable[[], Mapping[str, str]]


@dataclass(slots=True)
class NodeWatch:
    """`probe` and `sample` may block for long: they run in threads, and the last answer stands."""

    host: Host
    probe: Probe
    sample: Sample
    probe_interval_s: float
    sample_interval_s: float
    inventory: Inventory = field(init=False)
    dropped: tuple[Dropped, ...] = ()
    samples: tuple[ChipSample, ...] = ()
    cores_used_milli: int | None = None
    memory_used_bytes: int | None = None
    _probed_at: float = 0.0

    def __post_init__(self) -> None:
        self.inventory = self._inventory(ProbeResult())

    async def look(self) -> None:
        """Looks for chips."""
        self._probed_at = time.monotonic()
        found = await asyncio.to_thread(self.probe)
        self.dropped = found.dropped
        self.inventory = self._inventory(found)

    async def turn(self) -> None:
        """One reading, and now and then a look for chips that came or went."""
        await asyncio.sleep(self.sample_interval_s)
        await self.read()
        if time.monotonic() - self._probed_at >= self.probe_interval_s:
            await self.look()

    async def read(self) -> None:
        self.samples = await asyncio.to_thread(self.sample)
        busy_ratio = psutil.cpu_percent() / 100
        self.cores_used_milli = int(busy_ratio * 1000 * (psutil.cpu_count() or 1))
        self.memory_used_bytes = int(psutil.virtual_memory().used)
        if (limits := dict(self.host.limits())) != self.inventory.limits:
            self.inventory = self.inventory.model_copy(update={"limits": limits})

    def _inventory(self, found: ProbeResult) -> Inventory:
        return Inventory(
            cores_milli=self.host.capacity.cores_milli,
            memory_bytes=self.host.capacity.memory_bytes or 0,
            chips=found.chips,
            labels=dict(self.host.labels),
            platform=f"{platform.system().lower()}-{platform.machine()}",
            agent_version=__version__,
            address=self.host.address,
            limits=dict(self.host.limits()),
            dropped=tuple(str(it) for it in found.dropped),
        )
