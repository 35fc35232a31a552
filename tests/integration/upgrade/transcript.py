"""What an agent said to a server and was told: taken down by a proxy, read back by tests."""

from __future__ import annotations

import http.client
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any


@dataclass(frozen=True, slots=True)
class Exchange:
    """One request with its answer. The credential is not kept."""

    method: str
    path: str
    sent: Any
    status: int
    reply: Any


def save(exchanges: list[Exchange], path: Path) -> None:
    lines = (json.dumps(asdict(it), separators=(",", ":")) for it in exchanges)
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")


def load(path: Path) -> list[Exchange]:
    return [Exchange(**json.loads(line)) for line in path.read_text(encoding="utf-8").splitlines()]


@contextmanager
def taken_down(port: int) -> Iterator[tuple[str, list[Exchange]]]:
    """The address of a way to the server on that port, and what goes over it, in order."""
    exchanges: list[Exchange] = []

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def handle_one(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length") or 0))
            server = http.client.HTTPConnection("127.0.0.1", port, timeout=40)
            try:
                server.request(self.command, self.path, body, dict(self.headers.items()))
                answer = server.getresponse()
                reply = answer.read()
            except (OSError, http.client.HTTPException):
                self.close_connection = True  # the server is gone: so is the way to it
                return
            finally:
                server.close()
            exchanges.append(
                Exchange(self.command, self.path, _json(body), answer.status, _json(reply))
            )
            self.send_response(answer.status)
            self.send_header("content-type", answer.headers.get("content-type", ""))
            self.send_header("content-length", str(len(reply)))
            self.end_headers()
            self.wfile.write(reply)

        do_GET = do_POST = handle_one

        def log_message(self, format: str, *args: Any) -> None:
            """Nothing: what is said is kept."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as proxy:
        proxy.daemon_threads = True
        thread = threading.Thread(target=proxy.serve_forever, args=(0.1,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{proxy.server_address[1]}", exchanges
        finally:
            proxy.shutdown()
            thread.join(10)


def _json(text: bytes) -> Any:
    return json.loads(text) if text else None
