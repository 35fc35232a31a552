"""Hears what replicas say of themselves, and passes their checkpoint commits on.

One JSON object a line, request and reply in turn. A replica proves itself with its own token, so
that it can speak for nobody else.
"""

from __future__ import annotations

import asyncio
import hmac
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import structlog
from pydantic import TypeAdapter, ValidationError

from agents.boottime import SECOND_NS, boottime_ns
from agents.client import ControlPlane, Denied, Refused, Unreachable
from agents.replicas.controller import ReplicaController
from agents.replicas.states import Held
from agents.reporting.notes import Note, Notes
from penstock.api.assignments import CheckpointCommit, Failure, SpeedReport
from penstock.api.ids import ReplicaId
from penstock.api.jobs import Progress
from penstock.documents.sentences import sentence
from penstock.json_types import Json

log = structlog.get_logger()

MAX_LINE_BYTES: Final = 1 << 20
MAX_RESULT_BYTES: Final = 64 << 10
COMMIT_TIMEOUT_S: Final = 8.0  # below what a workload waits for its answer

Message = Json
Answer = Callable[[Held, Message], Awaitable[Message]]


class BadMessage(Exception):
    """The message is not the protocol's; the text says in what."""


@dataclass(slots=True)
class WorkloadSocket:
    """Serves until closed; several connections of one replica are fine."""

    control_plane: ControlPlane
    controller: ReplicaController
    notes: Notes = field(default_factory=Notes)
    _server: asyncio.Server | None = None
    _timer: asyncio.TimerHandle | None = None

    async def start(self, path: Path) -> None:
        self._server = await asyncio.start_unix_server(
            self._converse, path=str(path), limit=MAX_LINE_BYTES
        )

    async def close(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        if self._server is not None:
            self._server.close()

    async def answer(self, line: bytes) -> Message:
        """The reply to one line."""
        try:
            message = json.loads(line)
            held = self._speaker(message)
            answers: dict[str, Answer] = {
                "progress": self._progress, "speed": self._speed, "result": self._result,
                "failed": self._failed, "ready": self._ready, "commit_checkpoint": self._commit,
            }  # fmt: skip
            answer = answers.get(str(message.get("op")))
            if answer is None:
                raise BadMessage(f"op must be one of {', '.join(answers)}")
            return await answer(held, message)
        except BadMessage as error:
            return _no("invalid", str(error))
        except PermissionError as error:
            return _no("denied", str(error))
        except ValidationError as error:
            return _no("invalid", _first(error))
        except (ValueError, RecursionError) as error:
            return _no("invalid", f"not a JSON object a line: {error}")

    def pass_on_last(self, replica_id: ReplicaId) -> None:
        """Passes on what an ended replica reported last."""
        note = self.notes.end(replica_id)
        if note is not None:
            self._report(replica_id, note)

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while line := await reader.readline():
                writer.write(json.dumps(await self.answer(line)).encode() + b"\n")
                await writer.drain()
        except (ConnectionError, asyncio.LimitOverrunError, ValueError):
            pass  # gone, or a line beyond the limit: the workload connects again
        finally:
            writer.close()

    def _speaker(self, message: Any) -> Held:
        if not isinstance(message, dict):
            raise BadMessage("a message is a JSON object")
        held = self.controller.replicas.get(ReplicaId(str(message.get("replica_id", ""))))
        token = str(message.get("token", ""))
        if held is None or not hmac.compare_digest(token.encode(), held.token.encode()):
            raise PermissionError("no such replica here, or not its token")
        return held

    async def _progress(self, held: Held, message: Message) -> Message:
        progress = Progress.model_validate(message.get("progress"))
        self.controller.replicas.change(held.id, progress=progress)
        return self._note(held, Note(progress=progress))

    async def _speed(self, held: Held, message: Message) -> Message:
        speed = SpeedReport.model_validate(message.get("speed"))
        return self._note(held, Note(speeds={speed.work_class: speed}))

    async def _result(self, held: Held, message: Message) -> Message:
        """Kept on disk before it is acknowledged: the workload may end right after."""
        result = TypeAdapter(Json).validate_python(message.get("result"))
        if len(json.dumps(result)) > MAX_RESULT_BYTES:
            raise BadMessage(f"a result has at most {MAX_RESULT_BYTES} bytes")
        merged = {**held.result, **result}
        try:
            self.controller.runtime.note_result(held.id, merged)
        except OSError as error:
            return _no("unavailable", f"the result could not be kept: {error}")
        held = self.controller.replicas.change(held.id, result=merged)
        self.controller.report(held, result=result)
        return {"ok": True}

    async def _failed(self, held: Held, message: Message) -> Message:
        """Kept on disk, too; told with the end, of which it is the reason."""
        said = {name: message.get(name) for name in ("code", "message")}
        said["final"] = message.get("final", False)
        failure = Failure.model_validate(said)
        try:
            self.controller.runtime.note_failure(held.id, failure)
        except OSError as error:
            return _no("unavailable", f"the failure could not be kept: {error}")
        self.controller.replicas.change(held.id, failure=failure)
        return {"ok": True}

    async def _ready(self, held: Held, message: Message) -> Message:
        ready = message.get("ready") is True
        if held.ready != ready:
            held = self.controller.replicas.change(held.id, ready=ready)
            self.controller.report(held, ready=ready)
        return {"ok": True}

    async def _commit(self, held: Held, message: Message) -> Message:
        said = {name: message.get(name) for name in ("step", "uri", "manifest_sha256")}
        commit = CheckpointCommit.model_validate(
            {"replica_id": held.id, "epoch": held.epoch, **said}
        )
        try:
            async with asyncio.timeout(COMMIT_TIMEOUT_S):
                reply = await self.control_plane.commit(commit)
        except Refused as error:
            log.warning("checkpoint_refused", replica_id=held.id, code=error.code)
            return _no(error.code, str(error))
        except (Unreachable, Denied, TimeoutError) as error:
            return _no("unavailable", str(error) or "no answer in time")
        return {"ok": True, "checkpoint_id": reply.checkpoint_id}

    def _note(self, held: Held, note: Note) -> Message:
        self.notes.put(held.id, note)
        self._flush()
        return {"ok": True}

    def _flush(self) -> None:
        now = boottime_ns()
        for replica_id, note in self.notes.due(now):
            self._report(replica_id, note)
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        due_ns = self.notes.next_ns()
        if due_ns is not None:
            delay_s = max(0.0, (due_ns - now) / SECOND_NS)
            self._timer = asyncio.get_running_loop().call_later(delay_s, self._flush)

    def _report(self, replica_id: ReplicaId, note: Note) -> None:
        held = self.controller.replicas.get(replica_id)
        if held is not None:
            self.controller.report(held, progress=note.progress, speeds=note.speeds or None)


def _no(code: str, message: str) -> Message:
    return {"ok": False, "code": code, "message": message}


def _first(error: ValidationError) -> str:
    problem = error.errors()[0]
    where = ".".join(str(part) for part in problem["loc"])
    return f"{where}: {sentence(problem)}" if where else sentence(problem)
