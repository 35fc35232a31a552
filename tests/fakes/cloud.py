"""The real application on loopback, for tests of the client and the command.

Its one node is in memory. Before a request that changes something is answered, the scheduler has
decided and the node has run what it was given: `echo` says its words, `exit N` ends with N, and
anything else runs until it is cancelled. Between clients and application the network can fail.
"""

from __future__ import annotations

import asyncio
import base64
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from fastapi import FastAPI
from starlette.responses import JSONResponse
from starlette.types import Message, Receive, Scope, Send

from control_plane.api.app import build_api
from control_plane.hints.hub import Hub
from control_plane.services.accounts.bootstrap import bootstrap
from control_plane.services.accounts.tokens import create_token, ensure_admin
from control_plane.services.deps import Deps
from control_plane.services.logs.record import record_logs
from control_plane.services.scheduling.cycle import run_cycle
from control_plane.store.database.engine import open_database
from control_plane.store.database.migrate import migrate
from control_plane.store.log_store import LogStore
from control_plane.store.unit_of_work import Store
from penstock.api.assignments import LogChunk, LogRequest
from penstock.api.ids import NodeId, ReplicaId
from penstock.api.states import ExitReason, Role
from penstock.api.tokens import TokenRequest
from scheduler.policies.priority_age import PRIORITY_AGE
from tests.fakes.cluster import ADMIN, BIG, Cluster
from tests.fakes.leading import lead
from tests.fakes.lease_clock import CloudClock
from tests.fakes.node_agent import FakeAgent, Process

START = datetime(2026, 1, 5, 12, 0, tzinfo=UTC)


@dataclass(slots=True)
class Cloud:
    """One application with its database. `admin` and `member` are tokens of the project default."""

    cluster: Cluster
    admin: str
    member: str
    app: FastAPI = field(init=False)
    _lengths: dict[str, int] = field(default_factory=dict)
    _turn: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        lead(self.cluster.deps)
        self.start_again()

    def start_again(self) -> None:
        """A new application on what the one before has left."""
        self.app = build_api(self.cluster.deps, self.cluster.hub)

    def settle(self) -> None:
        """Decides, and lets the node run what it was given as far as it goes by itself."""
        with self._turn:
            epoch = lead(self.cluster.deps)
            assert epoch is not None
            run_cycle(self.cluster.deps, epoch, "test")
            for _ in range(2):
                self.cluster.tick()
                for process in self._node.processes.values():
                    self._play(process)
                self._node.report()

    def say(self, ref: str, *lines: str) -> None:
        """Lines of output of the job's first rank."""
        (replica, *_) = self.cluster.replicas(ref)
        self._write(self._node.processes[replica.id], "".join(f"{line}\n" for line in lines))

    def end(self, ref: str, code: int = 0) -> None:
        """The job's only rank ends by itself."""
        (replica,) = self.cluster.replicas(ref)
        self._exit(self._node.processes[replica.id], code)
        self._node.report()

    @property
    def _node(self) -> FakeAgent:
        return self.cluster.agents["node-a"]

    def _play(self, process: Process) -> None:
        verb, *words = process.assignment.command or ("",)
        if not process.live or process.state != "running" or verb not in ("echo", "exit"):
            return
        if verb == "echo":
            self._write(process, " ".join(words) + "\n")
        self._exit(process, int(words[0]) if verb == "exit" else 0)

    def _exit(self, process: Process, code: int) -> None:
        reason = ExitReason.ERROR if code else ExitReason.COMPLETED
        length = self._lengths.get(process.id, 0)
        self._node.exit(process.id, reason, code, log_bytes=length)

    def _write(self, process: Process, text: str) -> None:
        start, data = self._lengths.get(process.id, 0), text.encode()
        self._lengths[process.id] = start + len(data)
        chunk = LogChunk(
            replica_id=ReplicaId(process.id),
            epoch=process.assignment.epoch,
            offset=start,
            data=base64.b64encode(data).decode(),
        )
        record_logs(self.cluster.deps, NodeId(self._node.node_id), LogRequest(chunks=(chunk,)))


class Clouds:
    """Makes clouds, each on a database of its own that begins with a node and two tokens."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._number = 0
        self._cluster = _cluster(folder, "template")
        bootstrap(self._cluster.deps)
        self._admin = ensure_admin(self._cluster.deps) or ""
        wanted = TokenRequest(name="member", role=Role.MEMBER, project="default")
        self._member = create_token(self._cluster.deps, ADMIN, wanted).secret
        self._cluster.node("node-a", {BIG: 8})
        self._cluster.deps.store.database.dispose()

    @contextmanager
    def one(self) -> Iterator[Cloud]:
        """Until the block ends."""
        self._number += 1
        name = str(self._number)
        shutil.copyfile(self._folder / "template.db", self._folder / f"{name}.db")
        cluster = _cluster(self._folder, name)
        known = self._cluster.agents["node-a"]
        cluster.agents["node-a"] = FakeAgent(
            cluster.deps, cluster.clock, known.name, known.node_id, known.inventory
        )
        cloud = Cloud(cluster, self._admin, self._member)
        yield cloud
        cloud.app.state.streams.close()
        cluster.deps.store.database.dispose()


def _cluster(folder: Path, name: str) -> Cluster:
    database = open_database(f"sqlite:///{folder / name}.db")
    migrate(database)
    clock, hub, storage = CloudClock(START), Hub(), (folder / f"{name}.storage").as_uri()
    deps = Deps(
        store=Store(database),
        hints=hub,
        clock=clock,
        logs=LogStore(storage),
        storage=storage,
        policy=PRIORITY_AGE,
    )
    clock.bind(deps.store)
    return Cluster(deps, clock)


@dataclass(slots=True)
class Network:
    """What lies before the cloud of the present test: an ASGI application that is one."""

    cloud: Cloud | None = None
    requests: list[tuple[str, str, dict[str, str]]] = field(default_factory=list)
    busy: int = 0
    """Requests answered 503 at once."""
    lose_answers: int = 0
    """Requests that are carried out but whose answer never arrives."""
    cut_after: list[int] = field(default_factory=list)
    """Of the next answers to GET: so many bytes arrive."""

    @property
    def state(self) -> Any:
        """The application's, for whoever serves it."""
        assert self.cloud is not None
        return self.cloud.app.state

    def lead_to(self, cloud: Cloud) -> None:
        self.cloud, self.busy, self.lose_answers = cloud, 0, 0
        self.requests, self.cut_after = [], []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        assert self.cloud is not None
        cloud, method = self.cloud, scope["method"]
        path = scope["path"] + "?" + scope["query_string"].decode()
        headers = {name.decode(): value.decode() for name, value in scope["headers"]}
        self.requests.append((method, path, headers))
        if self.busy:
            self.busy -= 1
            problem = {"code": "unavailable", "detail": "busy for a moment"}
            await JSONResponse(problem, 503, {"Retry-After": "0"})(scope, receive, send)
        elif method == "GET":
            await self._read(cloud, scope, receive, send)
        else:
            await self._change(cloud, scope, receive, send)

    async def _change(self, cloud: Cloud, scope: Scope, receive: Receive, send: Send) -> None:
        answer: list[Message] = []

        async def keep(message: Message) -> None:
            answer.append(message)

        await cloud.app(scope, receive, keep)
        await asyncio.to_thread(cloud.settle)
        if self.lose_answers:
            self.lose_answers -= 1
            answer = answer[:1]
        for message in answer:
            await send(message)

    async def _read(self, cloud: Cloud, scope: Scope, receive: Receive, send: Send) -> None:
        room = self.cut_after.pop(0) if self.cut_after else None

        async def pass_on(message: Message) -> None:
            nonlocal room
            if room is not None and message["type"] == "http.response.body":
                body = message["body"]
                if len(body) > room:
                    await send({**message, "body": body[:room], "more_body": True})
                    answering.cancel()
                    await asyncio.sleep(0)
                room -= len(body)
            await send(message)

        answering = asyncio.create_task(cloud.app(scope, receive, pass_on))
        with suppress(asyncio.CancelledError):  # an answer without its end: uvicorn hangs up
            await answering
