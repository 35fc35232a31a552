"""What a workload tells its agent, over the agent's socket. What is told is the workload's.

A thread of its own does the talking, so that a slow or absent agent costs no step: progress and
speeds are dropped then, the result and checkpoint commits are tried again.
"""

from __future__ import annotations

import json
import socket
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from penstock.api.assignments import SpeedReport
from penstock.api.jobs import Progress

CALL_TIMEOUT_S: Final = 10.0
MAX_MESSAGE: Final = 4000
RETRY_S: Final = (0.2, 0.5, 1.0, 2.0, 5.0)
RETRIED_OPS: Final = frozenset({"result", "failed", "ready", "commit_checkpoint"})
RETRIED_CODES: Final = frozenset({"unavailable", "timeout"})

Message = dict[str, object]


class StaleEpoch(Exception):
    """A newer attempt of the job has taken over: this one must end."""


class CommitRefused(Exception):
    """The control plane will not have a checkpoint, for a reason that time does not change."""


@dataclass(slots=True)
class _Shared:
    """What the caller and the thread both touch, under the condition's lock."""

    latest: dict[str, Message] = field(default_factory=dict)
    commits: list[Message] = field(default_factory=list)
    fenced: str | None = None
    refused: str | None = None
    closing: bool = False


class Reporter:
    """Reports for one replica. Without a socket everything is dropped and commits count as made."""

    def __init__(self, agent_socket: Path | None, replica_id: str, token: str) -> None:
        self._connection = _Connection(agent_socket, {"replica_id": replica_id, "token": token})
        self._enabled = agent_socket is not None
        self._shared = _Shared()
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._run, name="reporter", daemon=True)
        if self._enabled:
            self._thread.start()

    def progress(self, progress: Progress) -> None:
        self._put("progress", {"progress": progress.model_dump(exclude_none=True)})

    def speed(self, speed: SpeedReport) -> None:
        document = speed.model_dump(exclude_defaults=True)
        self._put("speed", {"speed": document}, key=f"speed {speed.work_class}")

    def ready(self) -> None:
        self._put("ready", {"ready": True})

    def result(self, result: Message) -> None:
        """The job's own result, merged into what the job shows; delivered before `close` ends."""
        self._put("result", {"result": result})

    def failed(self, code: str, message: str, *, final: bool = False) -> None:
        """Why this replica cannot go on, for its user; delivered before `close` ends. `final`: it
        would end the same on any node.
        """
        self._put("failed", {"code": code, "message": message[:MAX_MESSAGE], "final": final})

    def commit(self, step: int, uri: str, manifest_sha256: str) -> None:
        """Makes a written checkpoint real, in the background; later commits wait for earlier."""
        checkpoint: Message = {"step": step, "uri": uri, "manifest_sha256": manifest_sha256}
        message = {"op": "commit_checkpoint", **checkpoint}
        if self._enabled:
            with self._changed:
                self._shared.commits.append(message)
                self._changed.notify_all()

    @property
    def is_over(self) -> bool:
        """Whether `check` would raise."""
        with self._changed:
            return bool(self._shared.fenced or self._shared.refused)

    def check(self) -> None:
        """Raises StaleEpoch or CommitRefused once the control plane has said so."""
        with self._changed:
            if self._shared.fenced is not None:
                raise StaleEpoch(self._shared.fenced)
            if self._shared.refused is not None:
                raise CommitRefused(self._shared.refused)

    def drain(self, timeout_s: float) -> bool:
        """Waits until commits, the result and a failure have arrived; false if they have not in
        time.
        """
        with self._changed:
            return self._changed.wait_for(self._is_drained, timeout_s)

    def close(self, timeout_s: float) -> bool:
        """Drains, then stops talking."""
        drained = self.drain(timeout_s)
        with self._changed:
            self._shared.closing = True
            self._changed.notify_all()
        return drained

    def _put(self, op: str, message: Message, key: str = "") -> None:
        """A later message takes the place of one of the same key (by default the op)."""
        if self._enabled:
            with self._changed:
                self._shared.latest[key or op] = {"op": op, **message}
                self._changed.notify_all()

    def _is_drained(self) -> bool:
        shared = self._shared
        if "failed" in shared.latest:
            return False
        if shared.fenced is not None or shared.refused is not None:
            return True
        return not shared.commits and "result" not in shared.latest

    def _run(self) -> None:
        num_failures = 0
        while (message := self._next()) is not None:
            reply = self._connection.call(message)
            with self._changed:
                arrived = self._settle(message, reply)
                self._changed.notify_all()
            num_failures = 0 if arrived else min(num_failures + 1, len(RETRY_S))
            if num_failures:
                time.sleep(RETRY_S[num_failures - 1])
        self._connection.close()

    def _next(self) -> Message | None:
        """A failure first, then commits, then the newest of each kind; null once closing."""
        with self._changed:
            self._changed.wait_for(
                lambda: self._shared.closing or self._shared.commits or self._shared.latest
            )
            if self._shared.closing:
                return None
            if "failed" in self._shared.latest:
                return self._shared.latest["failed"]
            if self._shared.commits:
                return self._shared.commits[0]
            return next(iter(self._shared.latest.values()))

    def _settle(self, message: Message, reply: Message) -> bool:
        """Takes what has arrived, or need not, off the list. False where it was not answered."""
        code = reply.get("code")
        arrived = bool(reply.get("ok")) or code not in RETRIED_CODES
        if arrived or message["op"] not in RETRIED_OPS:
            self._take_off(message)
        if arrived and not reply.get("ok"):
            self._note_refusal(message, str(code), str(reply.get("message", "")))
        return arrived

    def _take_off(self, message: Message) -> None:
        shared = self._shared
        if message["op"] == "commit_checkpoint":
            shared.commits.remove(message)
            return
        for key in [key for key, latest in shared.latest.items() if latest is message]:
            del shared.latest[key]

    def _note_refusal(self, message: Message, code: str, explanation: str) -> None:
        if code == "stale_epoch":
            self._shared.fenced = explanation or "a newer attempt of this job has taken over"
        elif message["op"] == "commit_checkpoint":
            self._shared.refused = f"checkpoint of step {message['step']}: {code}: {explanation}"


class _Connection:
    """One JSON object a line, request and reply in turn, opened when needed."""

    def __init__(self, path: Path | None, identity: Message) -> None:
        self._path = path
        self._identity = identity
        self._socket: socket.socket | None = None

    def call(self, message: Message) -> Message:
        """The agent's reply, or one with code `unavailable` where it cannot be had."""
        try:
            return self._exchange(message)
        except (OSError, ValueError) as error:
            self.close()
            return {"ok": False, "code": "unavailable", "message": str(error)}

    def close(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _exchange(self, message: Message) -> Message:
        if self._socket is None:
            self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            self._socket.settimeout(CALL_TIMEOUT_S)
            self._socket.connect(str(self._path))
        self._socket.sendall(json.dumps({**message, **self._identity}).encode() + b"\n")
        reply = json.loads(self._read_line())
        if not isinstance(reply, dict):
            raise ValueError("the agent's reply is not an object")
        return reply

    def _read_line(self) -> bytes:
        line = b""
        while not line.endswith(b"\n"):
            received = self._socket.recv(65536) if self._socket else b""
            if not received:
                raise ConnectionResetError("the agent closed the connection")
            line += received
        return line
