"""Finds chips that a process uses which belongs to no replica: nothing may start on them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import structlog

from agents.replicas.states import Replicas
from agents.runtimes.base import Runtime
from penstock.api.assignments import Assignment

log = structlog.get_logger()

Holders = Callable[[], Mapping[str, tuple[int, ...]]]
"""Process ids by chip key, for chips that can tell. May take seconds; called off the loop."""


@dataclass(slots=True)
class ForeignUse:
    """Asks the chips' own tools, and only when something is to start on chips that have such."""

    holders: Holders
    runtime: Runtime
    replicas: Replicas

    async def chips_in_use(self, starting: Sequence[Assignment]) -> frozenset[str]:
        """Ids of the chips wanted by `starting` that somebody else's process is on."""
        wanted = {
            chip.key: chip.chip_id for it in starting for chip in it.chips if not chip.emulated
        }
        if not wanted:
            return frozenset()
        holders = await asyncio.to_thread(self.holders)
        own = {pid for held in self.replicas.live() for pid in self.runtime.pids(held.id)}
        foreign = {key: set(holders.get(key, ())) - own for key in wanted}
        for key, pids in foreign.items():
            if pids:
                log.warning("chip_used_by_others", chip=key, pids=sorted(pids))
        return frozenset(wanted[key] for key, pids in foreign.items() if pids)
