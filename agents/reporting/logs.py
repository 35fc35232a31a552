"""Ships replicas' logs by offset. The server's word on how far a log stands always wins."""

from __future__ import annotations

import asyncio
import base64
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from agents.client import ControlPlane, Denied, Refused, Unreachable
from agents.replicas.controller import ReplicaController
from agents.replicas.states import Held
from penstock.api.assignments import LogChunk, LogReply, LogRequest
from penstock.api.ids import ReplicaId

CHUNK_BYTES: Final = 256 << 10
REQUEST_BYTES: Final = 2 << 20
POLL_S: Final = 0.1
LAST_WORDS_S: Final = 0.5
NOTE_EVERY_S: Final = 1.0


@dataclass(slots=True)
class LogLoop:
    """Looks at every log each POLL_S; the end of a replica hurries its last words.

    `note_lag_bytes` bounds how much may be shipped before a replica's supervisor is told, which
    holds the replica up once its cap is reached: a small part of that cap.
    """

    control_plane: ControlPlane
    controller: ReplicaController
    note_lag_bytes: int = CHUNK_BYTES
    clock: Callable[[], float] = time.monotonic
    _busy: asyncio.Lock = field(default_factory=asyncio.Lock)
    _not_before: float = 0.0
    _noted: dict[ReplicaId, _Note] = field(default_factory=dict)

    async def turn(self) -> None:
        await asyncio.sleep(max(POLL_S, self._not_before - self.clock()))
        while await self.ship(held.id for held in self.controller.replicas):
            pass
        self.note_rest()

    async def ship(self, replica_ids: Iterable[ReplicaId]) -> bool:
        """Sends one request with what these logs have; True when it should be called again."""
        async with self._busy:
            if self.clock() < self._not_before:
                return False
            chunks = await self._chunks(replica_ids)
            if not chunks:
                return False
            reply = await self.control_plane.logs(LogRequest(chunks=chunks))
            if reply.retry_after_s is not None:
                self._not_before = self.clock() + reply.retry_after_s
            return self._note(chunks, reply)

    def note_rest(self) -> None:
        """What was too little to be noted at once is noted before long: a replica that is held up
        writes nothing more that would be shipped.
        """
        for held in self.controller.replicas:
            self._remember(held)
        for replica_id in list(self._noted):
            if self.controller.replicas.get(replica_id) is None:
                del self._noted[replica_id]

    async def ended(self, replica_id: ReplicaId) -> None:
        """A replica's end is told after its last words, if these fit into one small request."""
        held = self.controller.replicas.get(replica_id)
        try:
            if held is not None and not held.log_done and self._rest(held) <= CHUNK_BYTES:
                with suppress(Unreachable, Denied, Refused, TimeoutError):
                    async with asyncio.timeout(LAST_WORDS_S):
                        await self.ship([replica_id])
        finally:
            await self.controller.report_end(replica_id)

    def _rest(self, held: Held) -> int:
        return self.controller.runtime.log_size(held.id) - held.shipped

    async def _chunks(self, replica_ids: Iterable[ReplicaId]) -> tuple[LogChunk, ...]:
        chunks: list[LogChunk] = []
        room = REQUEST_BYTES
        for replica_id in replica_ids:
            held = self.controller.replicas.get(replica_id)
            if held is None or held.log_done or room <= 0 or self._rest(held) <= 0:
                continue
            most = min(room, CHUNK_BYTES)
            data = await self.controller.runtime.read_log(held.id, held.shipped, most)
            room -= len(data)
            text = base64.b64encode(data).decode()
            chunks.append(
                LogChunk(replica_id=held.id, epoch=held.epoch, offset=held.shipped, data=text)
            )
        return tuple(chunks)

    def _note(self, chunks: tuple[LogChunk, ...], reply: LogReply) -> bool:
        """True when some log got on and has more."""
        more = False
        for chunk in chunks:
            held = self.controller.replicas.get(chunk.replica_id)
            offset = reply.offsets.get(chunk.replica_id)
            if held is None or offset is None:
                continue
            held = self.controller.replicas.change(held.id, shipped=offset)
            done = not held.live and self._rest(held) <= 0
            held = self.controller.replicas.change(held.id, log_done=done)
            more |= offset != chunk.offset and self._rest(held) > 0
            self._remember(held)
        self.controller.refused(reply.refused)
        self.controller.converge()
        return more and reply.retry_after_s is None

    def _remember(self, held: Held) -> None:
        """For a restarted agent, and for the supervisor, which bounds what is not shipped yet."""
        now = self.clock()
        last = self._noted.get(held.id, _Note(0, 0.0))
        lag = abs(held.shipped - last.offset)
        is_due = lag >= self.note_lag_bytes or now - last.at >= NOTE_EVERY_S
        if lag and is_due and not held.log_done:
            self._noted[held.id] = _Note(held.shipped, now)
            self.controller.runtime.note_shipped(held.id, held.shipped)


class _Note(NamedTuple):
    """How far a supervisor was told that its log is shipped, and when (monotonic seconds)."""

    offset: int
    at: float
