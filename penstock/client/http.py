"""Sends requests over httpx, again where that is safe, and follows streams across cuts.

`http` is made of `async_http` by `python -m tests.architecture.generated`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from time import monotonic
from time import sleep as pause
from typing import Any, Self, TypeVar

import httpx
from httpx_sse import EventSource

from penstock.api.states import ENDED
from penstock.client.connection import Connection, StreamCut, Trouble, next_page, raise_trouble
from penstock.client.errors import ConnectionFailed, WaitTimeout
from penstock.client.requests import Answer, Document, Polled, Request
from penstock.client.sse import Resumption

T = TypeVar("T")


class Http:
    """One server, one token, a pool of connections."""

    def __init__(
        self,
        connection: Connection,
        *,
        transport: httpx.BaseTransport | None = None,
        sleep: Callable[[float], None] = pause,
    ) -> None:
        self.connection = connection
        self._sleep = sleep
        self._kept: dict[tuple[object, ...], Answer] = {}
        self._client = httpx.Client(transport=transport, **connection.httpx_options())

    def send(self, request: Request[object]) -> Answer:
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

    def document(self, request: Request[object]) -> Any:
        """The answer's JSON document, None where there is none."""
        content = self.send(request).content
        return json.loads(content) if content else None

    def one(self, request: Request[object], read: Callable[[bytes], T]) -> T:
        """The answer as `read` makes it."""
        return read(self.send(request).content)

    def when_ended(self, request: Polled[object], read: Callable[[bytes], T]) -> T:
        """The object once it has ended. Raises WaitTimeout."""
        deadline = None if request.timeout_s is None else monotonic() + request.timeout_s
        while True:
            content = self.send(request).content
            found = json.loads(content)
            if found["state"] in ENDED:
                return read(content)
            if deadline is not None and monotonic() >= deadline:
                message = f"{found['name']} is {found['state']} after {request.timeout_s:g} s"
                raise WaitTimeout(message)
            self._sleep(request.poll_s)
            # By its id from now on: the name may be another's by then.
            request = replace(request, path=f"{request.path.rpartition('/')[0]}/{found['id']}")

    def items(self, request: Request[object]) -> Iterator[Document]:
        """All items of a list; pages are fetched as they are needed."""
        following: Request[object] | None = request
        while following is not None:
            page = self.document(following)
            for item in page["items"]:
                yield item
            following = next_page(following, page.get("next"))

    def many(self, request: Request[object], read: Callable[[Document], T]) -> Iterator[T]:
        """All items of a list as `read` makes them."""
        for item in self.items(request):
            yield read(item)

    def events(self, request: Request[object], read: Callable[[str], T]) -> Iterator[T]:
        """Events of a stream until it ends, over as many connections as that takes."""
        stream = Resumption(request, patience_s=self.connection.patience_s)
        while True:
            try:
                for data in self._one_connection(stream):
                    yield read(data)
            except StreamCut as cut:
                delay_s = stream.delay_s(monotonic(), self.connection.retry)
                if delay_s is None:
                    raise cut.error from cut
                self._sleep(delay_s)
            if stream.ended:
                return

    def blocks(self, request: Request[object]) -> Iterator[bytes]:
        """The bytes of a long answer as they come. Raises ApiError or ConnectionFailed, the latter
        also where the answer breaks off: what has come is then not all of it.
        """
        failures, begun = 0, False
        while True:
            try:
                arguments = self.connection.arguments(request)
                with self._client.stream(**arguments) as response:
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

    def __exit__(self, *_: object) -> None:
        self.close()

    def _try(self, request: Request[object]) -> Answer | Trouble:
        key = request.path, request.params
        kept = self._kept.pop(key, None) if request.method == "GET" else None
        arguments = self.connection.arguments(request)
        if kept is not None:
            arguments["headers"]["If-None-Match"] = kept.headers["etag"]
        try:
            response = self._client.request(**arguments)
        except httpx.RequestError as error:
            return self.connection.failed(error)
        outcome = self.connection.outcome(response, response.content)
        if kept is not None and response.status_code == httpx.codes.NOT_MODIFIED:
            outcome = kept
        if isinstance(outcome, Answer) and request.method == "GET" and "etag" in outcome.headers:
            self._keep(key, outcome)
        return outcome

    def _keep(self, key: tuple[object, ...], answer: Answer) -> None:
        """So that what is asked for again is sent only where it changed."""
        if self.connection.num_kept:
            self._kept[key] = answer
        if len(self._kept) > self.connection.num_kept:
            del self._kept[next(iter(self._kept))]

    def _one_connection(self, stream: Resumption) -> Iterator[str]:
        arguments = self.connection.arguments(stream.next_request())
        timeout = self.connection.stream_timeout()
        try:
            with self._client.stream(**arguments, timeout=timeout) as response:
                if not response.is_success:
                    raise_trouble(self.connection.outcome(response, response.read()))
                stream.connected()
                for event in EventSource(response).iter_sse():
                    if stream.takes(event):
                        yield event.data
                    if stream.ended:
                        return
        except httpx.RequestError as error:
            raise StreamCut(self.connection.failed(error).error) from error
        raise StreamCut(ConnectionFailed(self.connection.server, "the stream was closed"))
