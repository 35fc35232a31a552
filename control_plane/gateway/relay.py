"""One answer on its way from a replica to a client: ends with whichever of them ends first, and
counts what passed.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import TypeVar

import httpx
import structlog
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from control_plane.gateway.usage import UsageReader

log = structlog.get_logger()
ResultT = TypeVar("ResultT")

_BROKEN = json.dumps(
    {
        "error": {
            "message": "The replica ended before its answer did.", "type": "server_error",
            "param": None, "code": "replica_lost",
        }
    }
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Upstream:
    """A replica's answer of which the first bytes are there."""

    status: int
    headers: dict[str, str]
    first: bytes
    rest: AsyncIterator[bytes]


class Relay(Response):
    """Closes the replica's answer (`stack`) however it ends, even if nothing of it was sent."""

    def __init__(
        self,
        upstream: Upstream,
        stack: AsyncExitStack,
        usage: UsageReader,
        streamed: bool,
        meter: Callable[[UsageReader], None],
    ) -> None:
        super().__init__(status_code=upstream.status, headers=upstream.headers)
        del self.headers["content-length"]
        self._upstream = upstream
        self._stack = stack
        self._usage = usage
        self._streamed = streamed
        self._meter = meter

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await unless_gone(self._send(send), receive)
        finally:
            try:
                await self._stack.aclose()
            finally:
                self._usage.close()
                if self._upstream.status == 200:
                    self._meter(self._usage)

    async def _send(self, send: Send) -> None:
        start = {"status": self.status_code, "headers": self.raw_headers}
        await send({"type": "http.response.start", **start})
        try:
            await _body(send, self._usage.feed(self._upstream.first))
            async for chunk in self._upstream.rest:
                await _body(send, self._usage.feed(chunk))
        except httpx.HTTPError as error:
            log.warning("replica_lost_while_answering", error=repr(error))
            if not self._streamed:
                raise
            await _body(send, b"\n\ndata: " + _BROKEN.encode() + b"\n\n")
        await _body(send, self._usage.close())
        await send({"type": "http.response.body", "body": b"", "more_body": False})


async def unless_gone(work: Awaitable[ResultT], receive: Receive) -> ResultT | None:
    """What the work comes to; None if the client left first: then it is cancelled. For requests
    of which the whole body was received.
    """
    task = asyncio.ensure_future(work)
    leaving = asyncio.ensure_future(_disconnect(receive))
    try:
        await asyncio.wait({task, leaving}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        leaving.cancel()
        task.cancel()
        await asyncio.wait({task, leaving})
    return None if task.cancelled() else task.result()


async def _disconnect(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _body(send: Send, data: bytes) -> None:
    if data:
        await send({"type": "http.response.body", "body": data, "more_body": True})
