"""Looks at everything once a second, so that a lost hint costs a second and nothing else."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from agents.foreign import ForeignUse
from agents.keeper import Keeper

SWEEP_S: Final = 1.0


@dataclass(slots=True)
class SweepLoop:
    """`picture` is handed what the exporter is to show."""

    keeper: Keeper
    foreign: ForeignUse
    picture: Callable[[], None]

    async def turn(self) -> None:
        await asyncio.sleep(SWEEP_S)
        waiting = self.keeper.waiting()
        if waiting:
            self.keeper.foreign = await self.foreign.chips_in_use(waiting)
        self.keeper.sweep()
        self.picture()
