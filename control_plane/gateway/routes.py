"""The routing table of this process: read from the database, kept until a hint or its age."""

from __future__ import annotations

import asyncio
import time

from control_plane.gateway.errors import ambiguous_model
from control_plane.hints.hub import Hub
from control_plane.hints.topics import ROUTES
from control_plane.services.deps import Deps
from control_plane.services.endpoints.routes import OpenModel, read_routes
from penstock.api.ids import ProjectId, noun_of

MAX_AGE_S = 1.0


class Routes:
    """Losing a hint costs MAX_AGE_S."""

    def __init__(self, deps: Deps, hub: Hub) -> None:
        self._deps = deps
        self._hub = hub
        self._models: tuple[OpenModel, ...] = ()
        self._read_at = float("-inf")
        self._lock = asyncio.Lock()
        self._stale: asyncio.Event | None = None

    async def find(self, model: str, project_id: ProjectId | None) -> OpenModel | None:
        """The endpoint of that name or id in the project; administrators see every project.
        Raises GatewayError for a name that several projects have.
        """
        by_id = noun_of(model) is not None
        found = [
            known
            for known in await self.all(project_id)
            if model == (known.endpoint_id if by_id else known.model)
        ]
        if len(found) > 1:
            raise ambiguous_model(model, {it.endpoint_id: it.project for it in found})
        return found[0] if found else None

    async def all(self, project_id: ProjectId | None) -> list[OpenModel]:
        await self._refresh()
        return [m for m in self._models if project_id in (None, m.project_id)]

    async def has_type(self, chip_type: str) -> bool:
        """Whether a replica on a chip of that type answers for any endpoint."""
        await self._refresh()
        return any(chip_type == it.chip_type for model in self._models for it in model.routes)

    async def refresh_now(self) -> None:
        """Reads again: a replica of the table did not answer."""
        self._read_at = float("-inf")
        await self._refresh()

    async def _refresh(self) -> None:
        async with self._lock:
            if not self._is_stale():
                return
            if self._stale is not None:
                self._stale.clear()
            self._models = await asyncio.to_thread(read_routes, self._deps)
            self._read_at = time.monotonic()

    def _is_stale(self) -> bool:
        is_outdated = self._stale is not None and self._stale.is_set()
        return is_outdated or time.monotonic() - self._read_at > MAX_AGE_S

    async def listen(self) -> None:
        """Runs as long as the application: hints make the table stale at once."""
        with self._hub.listen_async(ROUTES) as stale:
            self._stale = stale
            await asyncio.Event().wait()
