"""A gateway on a real port, over a rig whose serving replicas are real HTTP servers."""

from __future__ import annotations

import socket
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, field

import httpx
import pytest
import uvicorn
from fastapi import FastAPI

from control_plane.clock import ManualClock
from control_plane.gateway.router import Gateway
from control_plane.services.accounts.projects import create_project
from control_plane.services.accounts.tokens import create_token
from control_plane.services.deps import Deps
from penstock.api.assignments import Observation, ReportRequest, SpeedReport
from penstock.api.ids import ReplicaId
from penstock.api.states import ReplicaState, Role
from penstock.api.tokens import ProjectRequest, TokenRequest
from tests.fakes.cluster import ADMIN, Cluster, a_server
from tests.fakes.openai_replica import FakeReplica
from tests.fakes.waiting import until


@dataclass(slots=True)
class Front:
    """What a client sees, and what stands behind it."""

    url: str
    cluster: Cluster
    secret: str
    gateway: Gateway
    stack: ExitStack
    replicas: dict[str, FakeReplica] = field(default_factory=dict)

    def client(self, secret: str | None = "") -> httpx.Client:
        """With the member's token; None: without any."""
        token = self.secret if secret == "" else secret
        headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        return self.stack.enter_context(
            httpx.Client(base_url=self.url, headers=headers, timeout=20)
        )

    def serve(
        self, name: str, *kinds: str, project: str = "mine", command: list[str] | None = None
    ) -> list[FakeReplica]:
        """An endpoint with a ready replica on a chip of each kind: of our engine, or of what the
        command starts.
        """
        made = []
        for number, kind in enumerate(kinds):
            replica = self.stack.enter_context(FakeReplica(f"{name}-{number}"))
            agent = self.cluster.node(f"{name}-{number}", {kind: 1})
            agent.addresses = [replica.address]
            made.append(replica)
        job = a_server(name, len(kinds), project=project, resources={"chips": 1, "mix": True})
        job["serve"]["command"] = command
        self.cluster.submit(job)
        self.cluster.steps(3)
        for row in self.cluster.replicas(name):
            self.replicas[row.id] = next(it for it in made if it.address == row.address)
        return made

    def measure(self, replica: FakeReplica, speed: float) -> None:
        """The replica has told how fast it is."""
        replica_id = self.id_of(replica)
        row = next(
            it
            for it in self.cluster.replicas(replica.name.rpartition("-")[0])
            if it.id == replica_id
        )
        agent = self.cluster.agent_of(row)
        seen = Observation(
            replica_id=ReplicaId(replica_id),
            epoch=row.attempt,
            state=ReplicaState.RUNNING,
            observed_at=self.cluster.clock.now(),
            speed=SpeedReport(work_class="serve/tiny", value=speed),
        )
        agent.send_again(ReportRequest(observations=(seen,)))

    def id_of(self, replica: FakeReplica) -> str:
        return next(key for key, it in self.replicas.items() if it is replica)

    def under_way(self) -> int:
        """Requests that the balancer still counts."""
        return sum(self.gateway.outstanding(ReplicaId(key)) for key in self.replicas)


@pytest.fixture
def cluster(deps: Deps, clock: ManualClock) -> Cluster:
    return Cluster(deps, clock)


@pytest.fixture
def front(cluster: Cluster) -> Iterator[Front]:
    create_project(cluster.deps, ADMIN, ProjectRequest(name="mine"))
    create_project(cluster.deps, ADMIN, ProjectRequest(name="theirs"))
    request = TokenRequest(name="me", role=Role.MEMBER, project="mine")
    secret = create_token(cluster.deps, ADMIN, request).secret
    with ExitStack() as stack:
        gateway = Gateway(cluster.deps, cluster.hub)
        url = stack.enter_context(_served(gateway))
        yield Front(url, cluster, secret, gateway, stack)


@contextmanager
def _served(gateway: Gateway) -> Iterator[str]:
    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        async with gateway.running():
            yield

    app = FastAPI(lifespan=lifespan)
    app.include_router(gateway.router())
    listener = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(app, log_level="critical", timeout_graceful_shutdown=2))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    try:
        until(lambda: server.started)
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(10)
        listener.close()
