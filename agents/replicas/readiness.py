"""Asks serving replicas whether they are ready, by GET /health on the port reserved for them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Final

import httpx

from agents.replicas.controller import ReplicaController
from penstock.api.ids import ReplicaId
from penstock.api.states import ReplicaState

NOT_READY_EVERY_S: Final = 0.25
READY_EVERY_S: Final = 2.0
TIMEOUT_S: Final = 2.0
FAILURES_TO_UNREADY: Final = 2
"""A server that answers one probe late, in the middle of heavy work, stays in its endpoint."""

Probe = Callable[[str], Awaitable[bool]]


def http_probe(http: httpx.AsyncClient) -> Probe:
    """True when host:port answers its health route with 200 in time."""

    async def probe(address: str) -> bool:
        try:
            response = await http.get(f"http://{address}/health", timeout=TIMEOUT_S)
        except httpx.TransportError:
            return False
        return response.status_code == httpx.codes.OK

    return probe


@dataclass(slots=True)
class ReadinessLoop:
    """Every serving replica is asked in a task of its own: a slow one delays no other."""

    controller: ReplicaController
    probe: Probe
    _next: dict[ReplicaId, float] = field(default_factory=dict)
    _failures: dict[ReplicaId, int] = field(default_factory=dict)
    _asking: dict[ReplicaId, asyncio.Task[None]] = field(default_factory=dict)

    async def turn(self) -> None:
        self.look(time.monotonic())
        await asyncio.sleep(NOT_READY_EVERY_S)

    def look(self, now: float) -> None:
        """Starts to ask every serving replica whose turn has come."""
        serving = {
            held.id
            for held in self.controller.replicas
            if held.assignment.serves and held.state is ReplicaState.RUNNING
        }
        self._forget_all_but(serving)
        for replica_id in serving - set(self._asking):
            if now >= self._next.get(replica_id, 0.0):
                self._asking[replica_id] = asyncio.create_task(self.ask(replica_id))

    async def ask(self, replica_id: ReplicaId) -> None:
        """Asks one replica once and tells what changed."""
        try:
            held = self.controller.replicas.get(replica_id)
            if held is not None:
                self._note(replica_id, await self.probe(held.address))
        finally:
            self._asking.pop(replica_id, None)

    def _note(self, replica_id: ReplicaId, answered: bool) -> None:
        held = self.controller.replicas.get(replica_id)
        if held is None or held.state is not ReplicaState.RUNNING:
            return
        failures = 0 if answered else self._failures.get(replica_id, 0) + 1
        self._failures[replica_id] = failures
        wait_s = READY_EVERY_S if answered else NOT_READY_EVERY_S
        self._next[replica_id] = time.monotonic() + wait_s
        ready = answered or (bool(held.ready) and failures < FAILURES_TO_UNREADY)
        if ready != held.ready:
            held = self.controller.replicas.change(replica_id, ready=ready)
            self.controller.report(held, ready=ready)

    def _forget_all_but(self, serving: set[ReplicaId]) -> None:
        for known in (self._next, self._failures):
            for replica_id in set(known) - serving:
                del known[replica_id]
