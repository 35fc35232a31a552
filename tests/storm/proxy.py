"""The way of one node to the servers: can be cut both or one way, delay, repeat, deliver late.

It understands just as much HTTP/1.1 as it needs to tell one request of an agent from the next.
"""

from __future__ import annotations

import asyncio
import re
import threading
from collections.abc import Iterable, Sequence
from contextlib import suppress
from random import Random

_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_CHUNK = 1 << 16


class Ways:
    """The event loop that all ways share, in a thread of its own."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self.loop.run_forever, name="ways", daemon=True)
        self._thread.start()
        self._ways: list[Way] = []

    def open(self, targets: Sequence[int], random: Random) -> Way:
        """A way to servers on these ports of loopback."""
        way = Way(targets, random, self.loop)
        asyncio.run_coroutine_threadsafe(way.listen(), self.loop).result(10)
        self._ways.append(way)
        return way

    def close(self) -> None:
        for way in self._ways:
            asyncio.run_coroutine_threadsafe(way.close(), self.loop).result(10)
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join(10)
        self.loop.close()


class Way:
    """Modes are set from any thread; all else happens in the loop."""

    def __init__(
        self, targets: Sequence[int], random: Random, loop: asyncio.AbstractEventLoop
    ) -> None:
        self.port = 0
        self.delay_s = 0.0
        self.repeats_within_s = 0.0
        self.late_by_s = 0.0
        self._targets = list(targets)
        self._random = random
        self._loop = loop
        self._up, self._down = asyncio.Event(), asyncio.Event()
        self._up.set()
        self._down.set()
        self._tasks: dict[asyncio.Task[None], asyncio.StreamWriter] = {}
        self._later: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None
        self._is_closed = False

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def cut(self, up: bool, down: bool) -> None:
        """From now on nothing passes to the servers, or back from them; nothing is refused."""
        for event in [self._up] * up + [self._down] * down:
            self._loop.call_soon_threadsafe(event.clear)

    def heal(self) -> None:
        """What was held back is lost with its connections; requests that are late still come."""
        self.delay_s = self.repeats_within_s = self.late_by_s = 0.0
        asyncio.run_coroutine_threadsafe(self._heal(), self._loop).result(10)

    async def listen(self) -> None:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0, limit=1 << 20)
        self.port = self._server.sockets[0].getsockname()[1]

    async def close(self) -> None:
        assert self._server is not None
        self._is_closed = True
        self._server.close()
        await self._drop()
        await _cancel(self._later)

    async def _heal(self) -> None:
        await self._drop()
        self._up.set()
        self._down.set()

    async def _drop(self) -> None:
        await _cancel(self._tasks)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """No coroutine: one cancelled before its first step would leave its writer open."""
        task = self._loop.create_task(self._serve(reader, writer))
        self._tasks[task] = writer
        task.add_done_callback(self._ended)
        if self._is_closed:
            task.cancel()

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.pop(task).transport.abort()
        if not task.cancelled():
            lost = task.exception()
            assert lost is None or isinstance(lost, OSError | asyncio.IncompleteReadError), lost

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await self._up.wait()
        from_server, to_server = await self._connect()
        back = asyncio.create_task(self._answer(from_server, writer))
        try:
            while not back.done():
                await self._pass_on(await _request(reader), to_server)
        finally:
            to_server.transport.abort()
            await _cancel([back])

    async def _pass_on(self, request: bytes, to_server: asyncio.StreamWriter) -> None:
        is_post = request.startswith(b"POST ")
        if is_post and self.late_by_s:
            self._send_later(request, self.late_by_s)
            return
        await self._up.wait()
        await asyncio.sleep(self.delay_s)
        to_server.write(request)
        await to_server.drain()
        if is_post and self.repeats_within_s:
            self._send_later(request, self.repeats_within_s)

    async def _answer(
        self, from_server: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        with suppress(OSError):
            while data := await from_server.read(_CHUNK):
                await self._down.wait()
                await asyncio.sleep(self.delay_s)
                writer.write(data)
                await writer.drain()
        writer.transport.abort()

    def _send_later(self, request: bytes, within_s: float) -> None:
        """Once more, or for the first time, on a connection of its own; nobody gets the answer."""
        task = self._loop.create_task(self._deliver(request, self._random.uniform(0, within_s)))
        self._later.add(task)
        task.add_done_callback(self._later.discard)

    async def _deliver(self, request: bytes, after_s: float) -> None:
        await asyncio.sleep(after_s)
        with suppress(OSError, TimeoutError):
            reader, writer = await self._connect()
            try:
                writer.write(request)
                await asyncio.wait_for(reader.read(_CHUNK), 10)
            finally:
                writer.transport.abort()

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """To the next server that listens, as a balancer does. Raises OSError."""
        for _ in self._targets[1:]:
            self._targets.append(self._targets.pop(0))
            with suppress(OSError):
                return await asyncio.open_connection("127.0.0.1", self._targets[-1])
        return await asyncio.open_connection("127.0.0.1", self._targets[0])


async def _cancel(tasks: Iterable[asyncio.Task[None]]) -> None:
    ending = list(tasks)
    for task in ending:
        task.cancel()
    await asyncio.gather(*ending, return_exceptions=True)


async def _request(reader: asyncio.StreamReader) -> bytes:
    head = await reader.readuntil(b"\r\n\r\n")
    found = _LENGTH.search(head)
    return head + (await reader.readexactly(int(found[1])) if found else b"")
