"""Asks for the node's assignment list, waiting at the server for a newer one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from agents.boottime import boottime_ns
from agents.client import ControlPlane
from agents.replicas.controller import ReplicaController
from agents.replicas.foreign import ForeignUse
from penstock.api.assignments import AssignmentList

WAIT_S: Final = 20.0
"""As long as the server lets us: while nothing happens, asking again is all that it costs."""


@dataclass(slots=True)
class AssignmentLoop:
    """Until the first answer the generation is 0, so that a restarted agent gets its list."""

    control_plane: ControlPlane
    controller: ReplicaController
    foreign: ForeignUse

    async def turn(self) -> None:
        sent_ns = boottime_ns()
        received = await self.control_plane.assignments(self.controller.generation, WAIT_S)
        await self._look_for_foreign_use(received)
        self.controller.take(received, sent_ns)

    async def _look_for_foreign_use(self, received: AssignmentList) -> None:
        new = [
            it
            for it in received.assignments
            if it.desired == "run" and self.controller.replicas.get(it.replica_id) is None
        ]
        self.controller.foreign = await self.foreign.chips_in_use(
            [*new, *self.controller.waiting()]
        )
