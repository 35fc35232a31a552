"""Asks serving replicas whether they are ready, by GET /health on the port reserved for them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Final

import httpx

from agents.keeper import Keeper
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
    keeper: Keeper
    probe: Probe
    _next: dict[str, float] = field(default_factory=dict)
    _failures: dict[str, int] = field(default_factory=dict)

    async def turn(self) -> None:
        await asyncio.sleep(NOT_READY_EVERY_S)
        await self.look(time.monotonic())

    async def look(self, now: float) -> None:
        """Probes every serving replica whose turn has come, all at the same time."""
        serving = {
            held.id: held.address
            for held in self.keeper.roster
            if held.assignment.serves and held.state is ReplicaState.RUNNING
        }
        for known in (self._next, self._failures):
            for replica_id in set(known) - set(serving):
                del known[replica_id]
        due = [it for it in serving if now >= self._next.get(it, 0.0)]
        answers = await asyncio.gather(*(self.probe(serving[it]) for it in due))
        for replica_id, ready in zip(due, answers, strict=True):
            self._note(replica_id, ready, now)

    def _note(self, replica_id: str, ready: bool, now: float) -> None:
        held = self.keeper.roster.get(replica_id)
        if held is None or held.state is not ReplicaState.RUNNING:
            return
        self._failures[replica_id] = 0 if ready else self._failures.get(replica_id, 0) + 1
        still = bool(held.ready) and self._failures[replica_id] < FAILURES_TO_UNREADY
        wait_s = READY_EVERY_S if ready else NOT_READY_EVERY_S
        self._next[replica_id] = now + wait_s
        if (ready or still) != held.ready:
            held = self.keeper.roster.change(replica_id, ready=ready or still)
            self.keeper.tell(held, ready=held.ready)
