"""Looks at everything once a second, so that a lost hint costs a second and nothing else."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from agents.replicas.controller import ReplicaController
from agents.replicas.foreign import ForeignUse

SWEEP_S: Final = 1.0


@dataclass(slots=True)
class SweepLoop:
    """`picture` is handed what the exporter is to show."""

    controller: ReplicaController
    foreign: ForeignUse
    picture: Callable[[], None]

    async def turn(self) -> None:
        await asyncio.sleep(SWEEP_S)
        waiting = self.controller.waiting()
        if waiting:
            self.controller.foreign = await self.foreign.chips_in_use(waiting)
        self.controller.sweep()
        self.picture()
