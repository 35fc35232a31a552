"""A receiver of webhooks on loopback: remembers what came, answers as it is told."""

from __future__ import annotations

import json
import socket
import socketserver
import ssl
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self


@dataclass(frozen=True, slots=True)
class Received:
    path: str
    headers: Mapping[str, str]
    body: Any


class _Served:
    """A server in a thread, as long as it is entered."""

    def __init__(self, server: ThreadingHTTPServer | socketserver.ThreadingTCPServer) -> None:
        self._server = server
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))

    @property
    def port(self) -> int:
        return int(self._server.server_address[1])

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(5)


class Receiver(_Served):
    """`answers` are used up one by one; after them it answers 204."""

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        self.received: list[Received] = []
        self.answers: list[int] = []
        self.delay_s = 0.0
        self.location: str | None = None
        server = ThreadingHTTPServer(("127.0.0.1", 0), _handler_of(self))
        if tls is not None:
            server.socket = tls.wrap_socket(server.socket, server_side=True)
        super().__init__(server)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/hook"


def _handler_of(receiver: Receiver) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            length = int(self.headers.get("Content-Length", 0))
            body = json.loads(self.rfile.read(length))
            receiver.received.append(Received(self.path, dict(self.headers), body))
            time.sleep(receiver.delay_s)
            self.send_response(receiver.answers.pop(0) if receiver.answers else 204)
            if receiver.location is not None:
                self.send_header("Location", receiver.location)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Quiet."""

    return Handler


class Trickler(_Served):
    """Answers with a first line that never ends, one byte now and then."""

    def __init__(self, every_s: float = 0.05) -> None:
        class Handler(socketserver.BaseRequestHandler):
            def handle(self) -> None:
                connection: socket.socket = self.request
                try:
                    connection.sendall(b"HTTP/1.1 ")
                    while True:
                        connection.sendall(b"2")
                        time.sleep(every_s)
                except OSError:
                    return

        super().__init__(socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler))

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/"
