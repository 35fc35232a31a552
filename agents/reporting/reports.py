"""Sends observations as soon as there are any, again and again until they are answered."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Final

import structlog

from agents.client import ControlPlane, Refused
from agents.replicas.controller import ReplicaController
from agents.replicas.outbox import MAX_PER_REQUEST
from penstock.api.assignments import ReportRequest

log = structlog.get_logger()

GATHER_S: Final = 0.005
"""What happens within this time travels together."""


@dataclass(slots=True)
class ReportLoop:
    """`bell` rings when there is something to send."""

    control_plane: ControlPlane
    controller: ReplicaController
    bell: asyncio.Event = field(default_factory=asyncio.Event)
    _at_once: int = MAX_PER_REQUEST

    async def turn(self) -> None:
        await self.bell.wait()
        await asyncio.sleep(GATHER_S)
        self.bell.clear()
        while await self.send():
            pass
        self._at_once = MAX_PER_REQUEST

    async def send(self) -> bool:
        """Sends one request; False when there is nothing to send. What fails goes back."""
        request = self.controller.outbox.take(self._at_once)
        if request is None:
            return False
        sent = False
        try:
            reply = await self.control_plane.report(request)
            sent = True
        except Refused as error:
            sent = True
            self._isolate(request, error)
            return True
        finally:
            if not sent:
                self.controller.outbox.back(request)
                self.bell.set()
        self.controller.refused(reply.refused)
        self.controller.accepted(reply.accepted, request.observations)
        return True

    def _isolate(self, request: ReportRequest, error: Refused) -> None:
        """One observation that the server cannot take must not hold up all others for ever."""
        ids = {it.replica_id for it in request.observations}
        if len(ids) > 1:
            self.controller.outbox.back(request)
            self._at_once = 1
            return
        log.error("observation_refused", replica_id=ids.pop(), code=error.code, error=str(error))
        self.controller.accepted(
            [it.replica_id for it in request.observations], request.observations
        )
