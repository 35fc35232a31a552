"""The asynchronous twin of `http`: the same rules over httpx's asynchronous client."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from types import TracebackType
from typing import Any, Self

import httpx

from penstock.client.connection import (
    Connection,
    StreamCut,
    Trouble,
    next_page,
    raise_trouble,
)
from penstock.client.errors import ConnectionFailed
from penstock.client.requests import Answer, Request
from penstock.client.sse import Resumption, ServerEvent


class AsyncHttp:
    """One server, one token, a pool of connections, for one event loop."""

    def __init__(
        self, connection: Connection, *, transport: httpx.AsyncBaseTransport | None = None
    ) -> None:
        self.connection = connection
        self._client = httpx.AsyncClient(transport=transport, **connection.httpx_options())

    async def send(self, request: Request) -> Answer:
        """The server's answer. Raises ApiError or ConnectionFailed."""
        failures = 0
        while True:
            outcome = await self._try(request)
            if isinstance(outcome, Answer):
                return outcome
            failures += 1
            delay_s = self.connection.retry.delay_s(request, outcome.failure, failures)
            if delay_s is None:
                raise outcome.error
            await asyncio.sleep(delay_s)

    async def document(self, request: Request) -> Any:
        """The answer's JSON document, None where there is none."""
        content = (await self.send(request)).content
        return json.loads(content) if content else None

    async def items(self, request: Request) -> AsyncIterator[dict[str, Any]]:
        """All items of a list; pages are fetched as they are needed."""
        following: Request | None = request
        while following is not None:
            page = await self.document(following)
            for item in page["items"]:
                yield item
            following = next_page(following, page.get("next"))

    async def events(
        self, request: Request, last_id: str | None = None
    ) -> AsyncIterator[ServerEvent]:
        """Events of a stream until it ends, over as many connections as that takes."""
        stream = Resumption(request, last_id, patience_s=self.connection.patience_s)
        while True:
            try:
                async for event in self._one_connection(stream):
                    yield event
            except StreamCut as cut:
                delay_s = stream.delay_s(time.monotonic(), self.connection.retry)
                if delay_s is None:
                    raise cut.error from cut
                await asyncio.sleep(delay_s)
            if stream.ended:
                return

    async def download(self, request: Request) -> AsyncIterator[bytes]:
        """The bytes of a long answer as they come. Raises ApiError or ConnectionFailed, the latter
        also where the answer breaks off: what has come is then not all of it.
        """
        failures, begun = 0, False
        while True:
            try:
                arguments = self.connection.arguments(request)
                async with self._client.stream(**arguments) as response:
                    if response.is_success:
                        async for chunk in response.aiter_bytes():
                            begun = True
                            yield chunk
                        return
                    trouble = self.connection.trouble(response, await response.aread())
            except httpx.RequestError as error:
                trouble = self.connection.failed(error)
            failures += 1
            delay_s = self.connection.retry.delay_s(request, trouble.failure, failures)
            if begun or delay_s is None:
                raise trouble.error
            await asyncio.sleep(delay_s)

    async def close(self) -> None:
        await self._client.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    async def _try(self, request: Request) -> Answer | Trouble:
        try:
            response = await self._client.request(**self.connection.arguments(request))
        except httpx.RequestError as error:
            return self.connection.failed(error)
        return self.connection.outcome(response, response.content)

    async def _one_connection(self, stream: Resumption) -> AsyncIterator[ServerEvent]:
        arguments = self.connection.arguments(stream.next_request())
        timeout = self.connection.stream_timeout()
        try:
            async with self._client.stream(**arguments, timeout=timeout) as response:
                if not response.is_success:
                    raise_trouble(self.connection.outcome(response, await response.aread()))
                stream.connected()
                async for chunk in response.aiter_bytes():
                    for event in stream.feed(chunk):
                        yield event
                    if stream.ended:
                        return
        except httpx.RequestError as error:
            raise StreamCut(self.connection.failed(error).error) from error
        raise StreamCut(ConnectionFailed(self.connection.server, "the stream was closed"))
