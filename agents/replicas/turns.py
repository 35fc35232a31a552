"""One task per replica at a time: what is done with one is in order, with several at once."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass, field

import structlog

from penstock.api.ids import ReplicaId

log = structlog.get_logger()


@dataclass(slots=True)
class Turns:
    """`turn` does what there is to do with a replica now. It is called again when somebody asked
    meanwhile; one that fails is left to whoever asks next.
    """

    turn: Callable[[ReplicaId], Awaitable[None]]
    _tasks: dict[ReplicaId, asyncio.Task[None]] = field(default_factory=dict)
    _again: dict[ReplicaId, bool] = field(default_factory=dict)  # of those at work

    def ask(self, replica_id: ReplicaId) -> None:
        is_at_work = replica_id in self._again
        self._again[replica_id] = is_at_work
        if not is_at_work:
            self._spawn(replica_id, self._work(replica_id))

    def interrupt(self, replica_id: ReplicaId) -> None:
        """Cancels what its turn, which has begun, waits for."""
        if replica_id in self._tasks:
            self._tasks[replica_id].cancel()

    def _spawn(self, replica_id: ReplicaId, work: Coroutine[None, None, None]) -> None:
        self._tasks[replica_id] = asyncio.create_task(work, name=replica_id)

    async def _work(self, replica_id: ReplicaId) -> None:
        self._again[replica_id] = True
        try:
            while self._again[replica_id]:
                self._again[replica_id] = False
                await self.turn(replica_id)
        except Exception:  # process loop: the next sweep asks again
            log.exception("replica_turn_failed", replica_id=replica_id)
        finally:
            del self._again[replica_id]
            self._tasks.pop(replica_id, None)
