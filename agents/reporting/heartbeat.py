"""Says that the node is alive and what is on it; brings back renewed leases."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from agents.boottime import boottime_ns
from agents.client import ControlPlane
from agents.node.inventory import NodeWatch
from agents.replicas.controller import ReplicaController
from penstock.api.assignments import HeartbeatReply, HeartbeatRequest, Inventory


@dataclass(slots=True)
class HeartbeatLoop:
    """One beat per interval, counted from the start of the last. `rotate` gets a new credential."""

    control_plane: ControlPlane
    controller: ReplicaController
    node: NodeWatch
    instance: str
    interval_s: float
    rotate: Callable[[], Awaitable[None]]
    _sent: Inventory | None = field(default=None)

    async def turn(self) -> None:
        began = time.monotonic()
        await self.beat()
        await asyncio.sleep(max(0.0, began + self.interval_s - time.monotonic()))

    async def beat(self) -> None:
        inventory = self.node.inventory
        sent_ns = boottime_ns()
        reply = await self.control_plane.heartbeat(self._request(inventory))
        self._sent = inventory
        self.controller.renew(reply.leases, sent_ns)
        self.controller.stop_unleased(reply.stop)
        self.controller.converge()
        await self._rotate(reply)

    def _request(self, inventory: Inventory) -> HeartbeatRequest:
        return HeartbeatRequest(
            instance=self.instance,
            generation=self.controller.generation,
            replicas=self.controller.reported(),
            inventory=inventory if inventory != self._sent else None,
            samples=self.node.samples,
            cores_used_milli=self.node.cores_used_milli,
            memory_used_bytes=self.node.memory_used_bytes,
        )

    async def _rotate(self, reply: HeartbeatReply) -> None:
        if reply.rotate_credential:
            await self.rotate()
