"""A serving replica over real HTTP that answers as it is told, and notes which clients left."""

from __future__ import annotations

import gzip
import json
import threading
import time
import zlib
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

PROMPT_TOKENS = 7
WORDS = ("one ", "two ", "three ")
KNOWN = frozenset({"model", "prompt", "messages", "stream", "max_tokens"})


@dataclass(slots=True)
class Behaviour:
    """`dies`: before it answers, or in the middle of its answer. `status`: other than 200 is an
    error at once. `pause_s`: before each word. `gate`: waits for it before the first byte.
    `is_strict`: refuses what it does not know. `packs`: its answers, whatever was asked for.
    `keeps`: connections; else it closes one as the next request arrives.
    """

    dies: str = "never"
    status: int = 200
    pause_s: float = 0.0
    gate: threading.Event | None = None
    sends_usage: bool = True
    is_strict: bool = False
    packs: bool = False
    keeps: bool = True


@dataclass(slots=True)
class Seen:
    """What came in, and how it went."""

    bodies: list[Any] = field(default_factory=list)
    paths: list[str] = field(default_factory=list)
    num_left: int = 0
    num_under_way: int = 0


class FakeReplica:
    """One server on a loopback port of its own."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.behaves = Behaviour()
        self.seen = Seen()
        self._server = _Server(("127.0.0.1", 0), _Handler)
        self._server.replica = self
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        """Nobody listens any more."""
        if self._thread.is_alive():
            self._server.shutdown()
            self._server.server_close()
            self._thread.join(5)


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    replica: FakeReplica


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    @property
    def replica(self) -> FakeReplica:
        return self.server.replica

    num_answered = 0
    _packer: Any = None

    def do_POST(self) -> None:
        if self.num_answered and not self.replica.behaves.keeps:
            self.close_connection = True
            return
        self.num_answered += 1
        body = json.loads(self.rfile.read(int(self.headers.get("Content-Length", 0))))
        self.replica.seen.bodies.append(body)
        self.replica.seen.paths.append(self.path)
        self.replica.seen.num_under_way += 1
        try:
            self._answer(body)
        except (BrokenPipeError, ConnectionResetError):
            self.replica.seen.num_left += 1
            self.close_connection = True
        finally:
            self.replica.seen.num_under_way -= 1

    def _answer(self, body: Any) -> None:
        behaves = self.replica.behaves
        if behaves.gate is not None:
            self._wait(behaves.gate)
        if behaves.dies == "before":
            self.close_connection = True
        elif behaves.status != 200:
            self._json(behaves.status, {"error": {"message": "no", "code": "busy"}})
        elif behaves.is_strict and not body.keys() <= KNOWN:
            self._json(400, {"error": {"message": f"unknown: {sorted(body)}", "code": "unknown"}})
        elif body.get("stream"):
            self._stream(body)
        else:
            self._plain()

    def _plain(self) -> None:
        time.sleep(self.replica.behaves.pause_s)
        usage = {"prompt_tokens": PROMPT_TOKENS, "completion_tokens": len(WORDS)}
        document = {"choices": [{"text": "".join(WORDS)}], "usage": usage, "by": self.replica.name}
        if self.replica.behaves.dies == "middle":
            self._head(200, "application/json")
            self._chunk(json.dumps(document).encode()[:20])
            self.close_connection = True
        else:
            self._json(200, document)

    def _stream(self, body: Any) -> None:
        self._head(200, "text/event-stream")
        for word in WORDS:
            self._event({"choices": [{"delta": {"content": word}}], "by": self.replica.name})
            if self.replica.behaves.dies == "middle":
                self.close_connection = True
                return
            time.sleep(self.replica.behaves.pause_s)
        asked = (body.get("stream_options") or {}).get("include_usage")
        if asked and self.replica.behaves.sends_usage:
            usage = {"prompt_tokens": PROMPT_TOKENS, "completion_tokens": len(WORDS)}
            self._event({"choices": [], "usage": usage})
        self._chunk(b"data: [DONE]\n\n")
        self._chunk(b"")

    def _wait(self, gate: threading.Event) -> None:
        """Until the gate opens, or the client leaves."""
        self.connection.setblocking(False)
        try:
            while not gate.wait(0.02):
                if self._is_gone():
                    raise BrokenPipeError
        finally:
            self.connection.setblocking(True)

    def _is_gone(self) -> bool:
        try:
            received: bytes = self.connection.recv(1)
        except BlockingIOError:
            return False
        return received == b""

    def _json(self, status: int, document: Any) -> None:
        data = json.dumps(document).encode()
        self.send_response(status)
        if self.replica.behaves.packs:
            data = gzip.compress(data)
            self.send_header("Content-Encoding", "gzip")
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def _head(self, status: int, kind: str) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Transfer-Encoding", "chunked")
        self._packer = None
        if self.replica.behaves.packs:
            self._packer = zlib.compressobj(wbits=31)
            self.send_header("Content-Encoding", "gzip")
        self.end_headers()

    def _event(self, document: Any) -> None:
        self._chunk(f"data: {json.dumps(document)}\n\n".encode())

    def _chunk(self, data: bytes) -> None:
        if self._packer is not None:
            end = zlib.Z_SYNC_FLUSH if data else zlib.Z_FINISH
            packed = self._packer.compress(data) + self._packer.flush(end)
            self.wfile.write(f"{len(packed):x}\r\n".encode() + packed + b"\r\n")
            if data:
                self.wfile.flush()
                return
        self.wfile.write(f"{len(data):x}\r\n".encode() + data + b"\r\n")
        self.wfile.flush()

    def log_message(self, *_: object) -> None:
        """Quiet."""
