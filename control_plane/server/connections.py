"""Connections of the HTTP server: each has a deadline for its headers, and all together a bound.

uvicorn has neither. What is in a request is for `control_plane/api`.
"""

from __future__ import annotations

import asyncio
import resource
from asyncio import TimerHandle
from contextlib import suppress
from typing import Any, Final

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

HEADERS_S: Final = 5.0
"""From a connection, or the first byte of a request on it, to the end of the request's headers;
and from an answer to the end of a body that nobody reads."""
MAX_HEADERS_BYTES: Final = 64 * 1024
MAX_HEADERS: Final = 256
MAX_OWING: Final = 512
RESERVE: Final = 256
"""Descriptors for what is no connection: database, logs, Redis, and what arrives in one burst."""
WANTED_DESCRIPTORS: Final = 65_536
BACKLOG: Final = 128
"""Connections that the kernel accepts before we do: one burst of them fits into the reserve."""


def raise_descriptors() -> int:
    """Takes as many descriptors as this process may have, up to some; says how many."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = WANTED_DESCRIPTORS if hard == resource.RLIM_INFINITY else min(hard, WANTED_DESCRIPTORS)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        with suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return WANTED_DESCRIPTORS if soft == resource.RLIM_INFINITY else soft


def most_connections(num_descriptors: int) -> int:
    """Each may need a second descriptor: the gateway's connection to a replica."""
    return max(16, (num_descriptors - RESERVE) // 2)


class Connections:
    """All of one server, with those that may be closed to let others in, the longest first."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._open: set[BoundedProtocol] = set()
        self._owing: dict[BoundedProtocol, TimerHandle] = {}
        self._idle: dict[BoundedProtocol, None] = {}

    def __len__(self) -> int:
        return len(self._open)

    def opened(self, one: BoundedProtocol) -> None:
        self._open.add(one)
        self.owes(one)
        while len(self._open) > self._most:
            self._close_one(one)

    def owes(self, one: BoundedProtocol) -> None:
        """It has to send something before its deadline."""
        self.works(one)
        self._owing[one] = one.loop.call_later(HEADERS_S, self._close, one)
        while len(self._owing) > MAX_OWING:
            self._close_one(one)

    def idles(self, one: BoundedProtocol) -> None:
        """It waits for its client: for another request, or to read what was sent."""
        self.works(one)
        self._idle[one] = None

    def works(self, one: BoundedProtocol) -> None:
        """A whole request of it is being answered."""
        self._idle.pop(one, None)
        timer = self._owing.pop(one, None)
        if timer is not None:
            timer.cancel()

    def closed(self, one: BoundedProtocol) -> None:
        self.works(one)
        self._open.discard(one)

    def _close_one(self, newest: BoundedProtocol) -> None:
        """The one that owes us something for the longest time, else the one that idles for the
        longest; where all others are at work, the newest itself.
        """
        oldest = next(iter(self._owing))
        self._close(next(iter(self._idle), newest) if oldest is newest else oldest)

    def _close(self, one: BoundedProtocol) -> None:
        self.closed(one)
        one.transport.abort()


class BoundedProtocol(HttpToolsProtocol):
    """uvicorn's protocol, which tells `Connections` what it is waiting for."""

    _all: Connections
    _in_headers = False
    _num_bytes = 0
    _num_headers = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._all.opened(self)

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._all.closed(self)

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self._in_headers and not self.transport.is_closing():
            self._num_bytes += len(data)
            if self._num_bytes > MAX_HEADERS_BYTES:
                self.send_400_response("The headers are too large.")

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._in_headers, self._num_bytes, self._num_headers = True, 0, 0
        if not self._is_answering():
            self._all.owes(self)

    def on_header(self, name: bytes, value: bytes) -> None:
        self._num_headers += 1
        if self._num_headers > MAX_HEADERS:
            raise ValueError("too many headers")  # the parser makes a 400 of it
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        self._in_headers = False
        self._all.works(self)
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        answered = self.cycle.response_complete
        super().on_message_complete()
        if answered:  # the rest of a body that nobody wanted has come: a fresh start is cleaner
            self.transport.close()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if self.transport.is_closing():
            self._all.idles(self)  # until its client has read everything
        elif self._in_headers or (self.cycle.more_body and not self.pipeline):
            self._all.owes(self)
        elif not self.pipeline:
            self._all.idles(self)

    def pause_writing(self) -> None:
        super().pause_writing()
        self._all.idles(self)

    def resume_writing(self) -> None:
        super().resume_writing()
        if self._is_answering():
            self._all.works(self)

    def _is_answering(self) -> bool:
        return bool(self.cycle) and not self.cycle.response_complete


def bounded_protocol(most: int) -> type[Any]:
    """The class for `uvicorn.Config(http=...)` of one server, for at most so many connections."""
    return type("ServerProtocol", (BoundedProtocol,), {"_all": Connections(most)})
