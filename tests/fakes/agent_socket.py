"""A stand-in for a node agent's socket: answers replicas as told and keeps what they said."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any

Message = dict[str, Any]
Answer = Callable[[Message], Message]


def accepts(message: Message) -> Message:
    """The answer of an agent whose control plane takes everything."""
    if message["op"] == "commit_checkpoint":
        return {"ok": True, "checkpoint_id": f"checkpoint_{message['step']:032x}"}
    return {"ok": True}


class FakeAgent:
    """Listens on a unix socket, one thread a connection; a context manager."""

    def __init__(self, path: Path, answer: Answer = accepts) -> None:
        self.path = path
        self.answer = answer
        self.heard: list[Message] = []
        self._listener: socket.socket | None = None
        self._connections: list[socket.socket] = []
        self._lock = threading.Lock()

    def __enter__(self) -> FakeAgent:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        self.stop()

    def start(self) -> None:
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._listener.bind(str(self.path))
        self._listener.listen()
        threading.Thread(target=self._accept, args=(self._listener,), daemon=True).start()

    def stop(self) -> None:
        """Closes the socket and every connection, as an agent that is killed does."""
        with self._lock:
            open_sockets = [*self._connections, *([self._listener] if self._listener else [])]
            self._connections, self._listener = [], None
        for one in open_sockets:
            with_shutdown(one)
        self.path.unlink(missing_ok=True)

    def messages(self, op: str) -> list[Message]:
        with self._lock:
            return [message for message in self.heard if message["op"] == op]

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            with self._lock:
                self._connections.append(connection)
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        try:
            with connection.makefile("rb") as lines:
                for line in lines:
                    message = json.loads(line)
                    with self._lock:
                        self.heard.append(message)
                    connection.sendall(json.dumps(self.answer(message)).encode() + b"\n")
        except OSError:
            return


def with_shutdown(one: socket.socket) -> None:
    """Closes a socket so that a thread blocked on it wakes up."""
    with contextlib.suppress(OSError):
        one.shutdown(socket.SHUT_RDWR)
    one.close()
