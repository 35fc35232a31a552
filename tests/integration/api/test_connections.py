"""Connections that never finish: each has a deadline, and no number of them keeps others out."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field

import pytest
import uvicorn
from starlette.types import Receive, Scope, Send

from control_plane.server import connections
from control_plane.server.connections import bounded_protocol, most_connections

pytestmark = pytest.mark.integration

MOST = 20
REQUEST = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
HALF = b"GET / HTTP/1.1\r\nHost: x\r\nX-Half: "


async def _app(scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] == "lifespan":
        return
    body = b"x" * (20_000_000 if scope["path"] == "/large" else 2)
    headers = [(b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


@dataclass
class Clients:
    """Connections to one server, all closed at the end."""

    port: int
    stack: ExitStack = field(default_factory=ExitStack)

    def open(self, sent: bytes = b"") -> socket.socket:
        made = socket.create_connection(("127.0.0.1", self.port), timeout=5)
        self.stack.enter_context(made)
        made.sendall(sent)
        return made

    def is_answered(self) -> bool:
        with socket.create_connection(("127.0.0.1", self.port), timeout=2) as one:
            one.sendall(REQUEST)
            return one.recv(100).startswith(b"HTTP/1.1 200")


@pytest.fixture
def clients(monkeypatch: pytest.MonkeyPatch) -> Iterator[Clients]:
    monkeypatch.setattr(connections, "HEADERS_S", 0.5)
    config = uvicorn.Config(
        _app, port=0, log_level="critical", lifespan="off", http=bounded_protocol(MOST)
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.005)
    made = Clients(server.servers[0].sockets[0].getsockname()[1])
    yield made
    made.stack.close()
    server.should_exit = True
    thread.join(5)


def _is_closed_within(one: socket.socket, seconds: float) -> bool:
    one.settimeout(seconds)
    try:
        while one.recv(65536):
            pass
    except TimeoutError:
        return False
    except OSError:
        return True
    return True


SENT = {
    "nothing": b"",
    "half of the headers": HALF,
    "half of the first line": b"GE",
    "empty lines": b"\r\n" * 50,
    "a whole request and half of another": REQUEST + HALF,
    "an answered request whose body does not come": (
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nabc"
    ),
    "a chunked body without an end": (
        b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n"
    ),
}


@pytest.mark.parametrize("kind", SENT)
def test_who_does_not_finish_is_cut_off(clients: Clients, kind: str) -> None:
    assert _is_closed_within(clients.open(SENT[kind]), 2)


def test_a_trickle_of_header_bytes_wins_no_time(clients: Clients) -> None:
    slow = clients.open(HALF)
    started = time.monotonic()
    with suppress(ConnectionError):
        while time.monotonic() - started < 3:
            slow.sendall(b"x")
            time.sleep(0.05)
    assert time.monotonic() - started < 1.5


@pytest.mark.parametrize(
    "sent",
    [
        HALF + b"x" * 200_000,
        b"GET / HTTP/1.1\r\n" + b"".join(b"X-%d: 1\r\n" % n for n in range(2_000)),
        b"GET /" + b"x" * 200_000,
    ],
    ids=["one long header", "many headers", "a long address"],
)
def test_headers_without_end_are_refused_at_once(clients: Clients, sent: bytes) -> None:
    assert _is_closed_within(clients.open(sent), 0.4)


@pytest.mark.parametrize(
    "sent,settle",
    [
        (HALF, lambda one: None),
        (b"", lambda one: None),
        (REQUEST, lambda one: one.recv(1000)),
        (b"GET /large HTTP/1.1\r\nHost: x\r\n\r\n", lambda one: None),
        (b"GET /large HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", lambda one: None),
    ],
    ids=["half-sent", "silent", "kept alive", "never reading", "never reading, to be closed"],
)
def test_more_connections_than_there_is_room_for_keep_nobody_out(
    clients: Clients, sent: bytes, settle: Callable[[socket.socket], object]
) -> None:
    for _ in range(MOST * 3):
        settle(clients.open(sent))
        assert clients.is_answered()


def test_kept_connections_and_pipelined_requests_are_served_as_before(clients: Clients) -> None:
    one = clients.open(REQUEST * 30)
    found = b""
    while found.count(b"\r\n\r\nxx") < 30:
        found += one.recv(65536)
    time.sleep(0.8)  # longer than a deadline: an idle connection owes nothing
    one.sendall(REQUEST)
    assert one.recv(100).startswith(b"HTTP/1.1 200")


def test_descriptors_are_kept_back_for_what_is_no_connection() -> None:
    assert most_connections(1024) == 384
    assert most_connections(100) == 16
