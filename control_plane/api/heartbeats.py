"""Heartbeats of many nodes, written together: whatever comes in while others are written is the
next batch. Nobody is answered before the commit.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from functools import partial
from typing import Final

import structlog

from control_plane.api.error_handlers import HANDLED
from control_plane.errors import Conflict
from control_plane.server.lanes import Lane, Lanes
from control_plane.services.agents.heartbeat import Beat, record_heartbeats, record_news
from control_plane.services.deps import Deps
from penstock.api.assignments import HeartbeatReply

MOST_TOGETHER: Final = 500
MOST_NEWS: Final = 50
MOST_NAMED: Final = 10
GATHER_S: Final = 0.03
"""A beat waits so long for others: a commit for each would cost more than all else about it."""
log = structlog.get_logger()
Outcome = HeartbeatReply | Conflict | None
Asked = tuple[Beat, asyncio.Future[HeartbeatReply]]


class Heartbeats:
    """One per application."""

    def __init__(self, deps: Deps, lanes: Lanes) -> None:
        self._deps = deps
        self._lanes = lanes
        self._waiting: list[Asked] = []
        self._writing: asyncio.Task[None] | None = None

    async def record(self, beat: Beat) -> HeartbeatReply:
        """Raises as `record_heartbeat` does."""
        asked: asyncio.Future[HeartbeatReply] = asyncio.get_running_loop().create_future()
        self._waiting.append((beat, asked))
        if self._writing is None:
            self._writing = asyncio.create_task(self._write())
        return await asked

    async def _write(self) -> None:
        try:
            while self._waiting:
                await asyncio.sleep(GATHER_S)
                batch = self._waiting[:MOST_TOGETHER]
                del self._waiting[:MOST_TOGETHER]
                news = await self._record(batch, record_heartbeats)
                for at in range(0, len(news), MOST_NEWS):
                    await self._record(news[at : at + MOST_NEWS], record_news)
        finally:
            self._writing = None

    async def _record(
        self, batch: Sequence[Asked], record: Callable[[Deps, Sequence[Beat]], Sequence[Outcome]]
    ) -> Sequence[Asked]:
        """Answers those that got an outcome, and gives back the others. Where several fail
        together by a fault of ours, each is tried alone: one may be the cause for all.
        """
        beats = [beat for beat, _ in batch]
        try:
            outcomes = await self._lanes.run(Lane.BEATS, partial(record, self._deps, beats))
        except HANDLED as error:
            for _, asked in batch:
                _fail(asked, error)
            return ()
        except Exception as error:  # process loop: those who wait have to hear of it
            log.exception("heartbeats_failed", nodes=[beat.node_id for beat in beats[:MOST_NAMED]])
            if len(batch) == 1:
                _fail(batch[0][1], error)
                return ()
            return [left for one in batch for left in await self._record([one], record)]
        news = []
        for one, outcome in zip(batch, outcomes, strict=True):
            if outcome is None:
                news.append(one)
            elif isinstance(outcome, Conflict):
                _fail(one[1], outcome)
            elif not one[1].done():
                one[1].set_result(outcome)
        return news


def _fail(asked: asyncio.Future[HeartbeatReply], error: Exception) -> None:
    if not asked.done():
        asked.set_exception(error)
