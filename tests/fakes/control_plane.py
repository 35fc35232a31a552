"""A control plane in memory that speaks the agent protocol, for tests of the agent.

It keeps the protocol's promises (generations, leases, offsets, epochs) and can be told to break
in the ways a real one may: away, slow, losing answers, forgetting.
"""

from __future__ import annotations

import asyncio
import base64
import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qs

import httpx
from pydantic import BaseModel

from penstock.api.assignments import (
    Assignment,
    AssignmentList,
    BeginReply,
    BeginRequest,
    CheckpointCommit,
    CheckpointReply,
    CredentialReply,
    EnrolReply,
    EnrolRequest,
    HeartbeatReply,
    HeartbeatRequest,
    Inventory,
    LeaseGrant,
    LogReply,
    LogRequest,
    Observation,
    Refusal,
    ReportReply,
    ReportRequest,
)
from penstock.api.ids import CheckpointId, NodeId
from penstock.api.states import ExitReason, ReplicaState


class Problem(Exception):
    """An answer that is an error."""

    def __init__(self, status: int, code: str) -> None:
        super().__init__(code)
        self.status, self.code = status, code


@dataclass(slots=True)
class FakeControlPlane:
    """One node's control plane. Public fields may be read and set by a test at any time."""

    ttl_s: float = 30.0
    margin_s: float = 5.6
    heartbeat_interval_s: float = 5.0
    join_token: str = "join-me"
    credential: str = "credential-0"
    away: bool = False
    lose_answers: int = 0
    retry_after_s: float | None = None
    rotate: bool = False
    renews: bool = True
    generation: int = 1
    assignments: dict[str, Assignment] = field(default_factory=dict)
    observations: list[Observation] = field(default_factory=list)
    heartbeats: list[HeartbeatRequest] = field(default_factory=list)
    logs: dict[str, bytes] = field(default_factory=dict)
    checkpoints: list[CheckpointCommit] = field(default_factory=list)
    inventory: Inventory | None = None
    incarnation: str | None = None
    refusals: dict[str, str] = field(default_factory=dict)
    calls: list[str] = field(default_factory=list)
    closing: bool = False
    arrivals: dict[tuple[str, str], float] = field(default_factory=dict)

    def assign(self, assignment: Assignment) -> None:
        """The node is to run this replica."""
        self.assignments[assignment.replica_id] = assignment
        self.generation += 1

    def stop(self, replica_id: str, reason: ExitReason = ExitReason.STOPPED) -> None:
        self._change(replica_id, desired="stop", stop_reason=reason)

    def set_master(self, replica_id: str, master: str) -> None:
        self._change(replica_id, master=master)

    def withdraw(self, replica_id: str) -> None:
        """The replica's lease is gone, as far as the control plane is concerned."""
        self.assignments.pop(replica_id, None)
        self.generation += 1

    def states(self, replica_id: str) -> list[ReplicaState]:
        """The states told of a replica, in order, repeats left out."""
        told = [it.state for it in self.observations if it.replica_id == replica_id]
        return [state for n, state in enumerate(told) if n == 0 or told[n - 1] != state]

    def exit_of(self, replica_id: str) -> Observation | None:
        ends = (it for it in self.observations if it.replica_id == replica_id and it.exit)
        return next(ends, None)

    def told(self, replica_id: str, what: str) -> list[Any]:
        """Every value of one field that was told of a replica."""
        seen = (getattr(it, what) for it in self.observations if it.replica_id == replica_id)
        return [value for value in seen if value is not None]

    def transport(self) -> httpx.MockTransport:
        """For an httpx client in the same process."""

        async def handle(request: httpx.Request) -> httpx.Response:
            status, body = await self.handle(
                request.method,
                request.url.path,
                request.url.query.decode(),
                request.content,
                request.headers.get("Authorization", ""),
            )
            return httpx.Response(status, content=body)

        return httpx.MockTransport(handle)

    async def handle(
        self, method: str, path: str, query: str, body: bytes, bearer: str
    ) -> tuple[int, bytes]:
        """Status and body of the answer to one request."""
        route = path.removeprefix("/api/v1/agent/")
        self.calls.append(route)
        try:
            if self.away:
                raise Problem(503, "unavailable")
            self._check(route, bearer)
            reply = await self._answer(route, query, body)
            if self.lose_answers > 0 and method == "POST":
                self.lose_answers -= 1
                raise Problem(502, "answer_lost")
        except Problem as problem:
            return problem.status, _problem(problem, path)
        return 200, reply.model_dump_json().encode()

    def _check(self, route: str, bearer: str) -> None:
        if route == "enrol":
            if bearer != f"Bearer {self.join_token}":
                raise Problem(401, "bad_join_token")
        elif bearer != f"Bearer {self.credential}":
            raise Problem(401, "unauthenticated")

    async def _answer(self, route: str, query: str, body: bytes) -> BaseModel:
        if route == "assignments":
            values = parse_qs(query)
            return await self._list(int(values["generation"][0]), float(values["wait_s"][0]))
        if route == "credential":
            self.credential, self.rotate = f"{self.credential}+", False
            return CredentialReply(credential=self.credential)
        routes: dict[str, tuple[type[BaseModel], Callable[[Any], BaseModel]]] = {
            "enrol": (EnrolRequest, self._enrol),
            "incarnations": (BeginRequest, self._begin),
            "heartbeat": (HeartbeatRequest, self._heartbeat),
            "reports": (ReportRequest, self._report),
            "logs": (LogRequest, self._log),
            "checkpoints": (CheckpointCommit, self._checkpoint),
        }
        model, answer = routes[route]
        return answer(model.model_validate_json(body))

    async def _list(self, generation: int, wait_s: float) -> AssignmentList:
        end = time.monotonic() + wait_s
        while self.generation <= generation != 0 and time.monotonic() < end:
            if self.closing:
                break
            await asyncio.sleep(0.002)  # a test may change the list from another thread
        return AssignmentList(
            generation=self.generation,
            assignments=tuple(
                it.model_copy(update={"lease": self._grant(it)}) for it in self.assignments.values()
            ),
        )

    def _grant(self, assignment: Assignment) -> LeaseGrant | None:
        if assignment.desired == "stop":
            return None
        return LeaseGrant(
            replica_id=assignment.replica_id,
            epoch=assignment.epoch,
            remaining_s=self.ttl_s,
            margin_s=self.margin_s,
        )

    def _enrol(self, request: EnrolRequest) -> EnrolReply:
        self.join_token = ""
        self.inventory = request.inventory
        return EnrolReply(
            node_id=NodeId("node_1"),
            credential=self.credential,
            heartbeat_interval_s=self.heartbeat_interval_s,
        )

    def _begin(self, request: BeginRequest) -> BeginReply:
        if self.incarnation not in (None, request.incarnation, *request.previous):
            raise Problem(409, "incarnation_waits")
        self.incarnation = request.incarnation
        return BeginReply(incarnation=request.incarnation)

    def _heartbeat(self, request: HeartbeatRequest) -> HeartbeatReply:
        self.heartbeats.append(request)
        self.inventory = request.inventory or self.inventory
        listed = [self.assignments.get(it.replica_id) for it in request.replicas]
        grants = [self._grant(it) for it in listed if it is not None and self.renews]
        return HeartbeatReply(
            generation=self.generation,
            leases=tuple(it for it in grants if it is not None),
            stop=tuple(
                it.replica_id for it in request.replicas if it.replica_id not in self.assignments
            ),
            rotate_credential=self.rotate,
            server_time=datetime.now(UTC),
        )

    def _report(self, request: ReportRequest) -> ReportReply:
        refused = []
        for seen in request.observations:
            if seen.replica_id in self.refusals:
                code: Any = self.refusals[seen.replica_id]
                refused.append(Refusal(replica_id=seen.replica_id, code=code))
                continue
            self.arrivals.setdefault((seen.replica_id, seen.state), time.monotonic())
            self.observations.append(seen)
            if seen.exit is not None and self.assignments.pop(seen.replica_id, None) is not None:
                self.generation += 1
        accepted = {it.replica_id for it in request.observations} - set(self.refusals)
        return ReportReply(accepted=tuple(sorted(accepted)), refused=tuple(refused))

    def _log(self, request: LogRequest) -> LogReply:
        if self.retry_after_s is not None:
            ends = {it.replica_id: len(self.logs.get(it.replica_id, b"")) for it in request.chunks}
            return LogReply(offsets=ends, retry_after_s=self.retry_after_s)
        offsets = {}
        for chunk in request.chunks:
            log = self.logs.get(chunk.replica_id, b"")
            if chunk.offset <= len(log):
                log += base64.b64decode(chunk.data)[len(log) - chunk.offset :]
                self.logs[chunk.replica_id] = log
            offsets[chunk.replica_id] = len(log)
        return LogReply(offsets=offsets)

    def _checkpoint(self, commit: CheckpointCommit) -> CheckpointReply:
        if commit.replica_id in self.refusals:
            raise Problem(409, "stale_epoch")
        self.checkpoints.append(commit)
        return CheckpointReply(checkpoint_id=CheckpointId(f"checkpoint_{commit.step}"))

    def _change(self, replica_id: str, **fields: Any) -> None:
        self.assignments[replica_id] = self.assignments[replica_id].model_copy(update=fields)
        self.generation += 1


@contextmanager
def served(fake: FakeControlPlane) -> Iterator[str]:
    """The fake on a loopback port, for an agent in a process of its own; yields its base URL."""
    import uvicorn

    config = uvicorn.Config(
        _asgi(fake), host="127.0.0.1", port=0, log_level="error", lifespan="off", ws="none"
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.005)
    port = server.servers[0].sockets[0].getsockname()[1]
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        fake.closing = server.should_exit = True
        thread.join(10)


def _asgi(fake: FakeControlPlane) -> Any:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        body = b""
        while True:
            event = await receive()
            if event["type"] == "http.disconnect":
                return  # an agent that was killed in the middle of a request
            body += event.get("body", b"")
            if not event.get("more_body"):
                break
        headers = {name.decode().lower(): value.decode() for name, value in scope["headers"]}
        status, answer = await fake.handle(
            scope["method"],
            scope["path"],
            scope["query_string"].decode(),
            body,
            headers.get("authorization", ""),
        )
        start = {"type": "http.response.start", "status": status}
        start["headers"] = [(b"content-type", b"application/json")]
        await send(start)
        await send({"type": "http.response.body", "body": answer})

    return app


def _problem(problem: Problem, path: str) -> bytes:
    return json.dumps(
        {
            "type": "about:blank",
            "title": problem.code,
            "status": problem.status,
            "detail": problem.code,
            "instance": path,
            "code": problem.code,
            "request_id": "r",
        }
    ).encode()
