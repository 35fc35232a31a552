"""Heartbeats of many nodes, written together: whatever comes in while others are written is the
next batch. Nobody is answered before the commit.
"""

from __future__ import annotations

import asyncio
from typing import Final

from control_plane.errors import Conflict
from control_plane.server.lanes import in_lane
from control_plane.services.agents.heartbeat import Beat, record_heartbeats, record_news
from control_plane.services.deps import Deps
from penstock.api.assignments import HeartbeatReply

MOST_TOGETHER: Final = 500
Outcome = HeartbeatReply | Conflict | None


class Heartbeats:
    """One per application."""

    def __init__(self, deps: Deps) -> None:
        self._deps = deps
        self._waiting: list[tuple[Beat, asyncio.Future[Outcome]]] = []
        self._writing: asyncio.Task[None] | None = None

    async def record(self, beat: Beat) -> HeartbeatReply:
        """Raises as `record_heartbeat` does."""
        asked: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        self._waiting.append((beat, asked))
        if self._writing is None:
            self._writing = asyncio.create_task(self._write())
        outcome = await asked
        if isinstance(outcome, Conflict):
            raise outcome
        if outcome is None:
            return await in_lane(record_news, self._deps, beat)
        return outcome

    async def _write(self) -> None:
        try:
            while self._waiting:
                batch = self._waiting[:MOST_TOGETHER]
                del self._waiting[:MOST_TOGETHER]
                await self._write_batch(batch)
        finally:
            self._writing = None

    async def _write_batch(self, batch: list[tuple[Beat, asyncio.Future[Outcome]]]) -> None:
        beats = [beat for beat, _ in batch]
        try:
            outcomes = await in_lane(record_heartbeats, self._deps, beats)
        except BaseException as error:  # process loop: those who wait have to hear of it
            for _, asked in batch:
                if not asked.done():
                    asked.set_exception(error)
            if not isinstance(error, Exception):
                raise
            return
        for (_, asked), outcome in zip(batch, outcomes, strict=True):
            if not asked.done():
                asked.set_result(outcome)
