"""Sends requests over httpx, again where that is safe, and follows streams across cuts.

Answers are documents as they came; the typed client builds its types on top.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
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


class Http:
    """One server, one token, a pool of connections. Safe to share between threads."""

    def __init__(
        self,
        connection: Connection,
        *,
        transport: httpx.BaseTransport | None = None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.connection = connection
        self._sleep = sleep
        self._client = httpx.Client(transport=transport, **connection.httpx_options())

    def send(self, request: Request) -> Answer:
        """The server's answer. Raises ApiError or ConnectionFailed."""
        failures = 0
        while True:
            outcome = self._try(request)
            if isinstance(outcome, Answer):
                return outcome
            failures += 1
            delay_s = self.connection.retry.delay_s(request, outcome.failure, failures)
            if delay_s is None:
                raise outcome.error
            self._sleep(delay_s)

    def document(self, request: Request) -> Any:
        """The answer's JSON document, None where there is none."""
        content = self.send(request).content
        return json.loads(content) if content else None

    def items(self, request: Request) -> Iterator[dict[str, Any]]:
        """All items of a list; pages are fetched as they are needed."""
        following: Request | None = request
        while following is not None:
            page = self.document(following)
            yield from page["items"]
            following = next_page(following, page.get("next"))

    def events(self, request: Request, last_id: str | None = None) -> Iterator[ServerEvent]:
        """Events of a stream until it ends, over as many connections as that takes."""
        stream = Resumption(request, last_id, patience_s=self.connection.patience_s)
        while True:
            try:
                yield from self._one_connection(stream)
            except StreamCut as cut:
                delay_s = stream.delay_s(time.monotonic(), self.connection.retry)
                if delay_s is None:
                    raise cut.error from cut
                self._sleep(delay_s)
            if stream.ended:
                return

    def download(self, request: Request) -> Iterator[bytes]:
        """The bytes of a long answer as they come. Raises ApiError or ConnectionFailed, the latter
        also where the answer breaks off: what has come is then not all of it.
        """
        failures, begun = 0, False
        while True:
            try:
                with self._client.stream(**self.connection.arguments(request)) as response:
                    if response.is_success:
                        for chunk in response.iter_bytes():
                            begun = True
                            yield chunk
                        return
                    trouble = self.connection.trouble(response, response.read())
            except httpx.RequestError as error:
                trouble = self.connection.failed(error)
            failures += 1
            delay_s = self.connection.retry.delay_s(request, trouble.failure, failures)
            if begun or delay_s is None:
                raise trouble.error
            self._sleep(delay_s)

    def close(self) -> None:
        self._client.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _try(self, request: Request) -> Answer | Trouble:
        try:
            response = self._client.request(**self.connection.arguments(request))
        except httpx.RequestError as error:
            return self.connection.failed(error)
        return self.connection.outcome(response, response.content)

    def _one_connection(self, stream: Resumption) -> Iterator[ServerEvent]:
        arguments = self.connection.arguments(stream.next_request())
        timeout = self.connection.stream_timeout()
        try:
            with self._client.stream(**arguments, timeout=timeout) as response:
                if not response.is_success:
                    raise_trouble(self.connection.outcome(response, response.read()))
                stream.connected()
                for chunk in response.iter_bytes():
                    yield from stream.feed(chunk)
                    if stream.ended:
                        return
        except httpx.RequestError as error:
            raise StreamCut(self.connection.failed(error).error) from error
        raise StreamCut(ConnectionFailed(self.connection.server, "the stream was closed"))
