"""The typed asynchronous client: `await AsyncClient(server, token).jobs.get("hello")`."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from typing import Any, Self

import httpx

from penstock.api.jobs import Event, Replica
from penstock.api.plans import Cycle, PlanAnswer
from penstock.api.specs import JobSpec
from penstock.api.tokens import Identity
from penstock.client import routes
from penstock.client.async_http import AsyncHttp
from penstock.client.async_jobs import AsyncJobs
from penstock.client.async_nouns import (
    AsyncChips,
    AsyncEndpoints,
    AsyncNodes,
    AsyncProjects,
    AsyncQueues,
    AsyncTokens,
)
from penstock.client.connection import Connection
from penstock.client.parsing import body, parse, parse_event


class AsyncClient:
    """Everything the API offers, as methods per noun.

    All methods raise ApiError when the server refuses and ConnectionFailed when it cannot be
    reached; requests that are safe to repeat were repeated by then.
    """

    def __init__(
        self,
        server: str,
        token: str | None = None,
        *,
        timeout_s: float = 30.0,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        connection = Connection(server, token, timeout_s=timeout_s)
        self.http = AsyncHttp(connection, transport=transport)
        self.jobs = AsyncJobs(self.http)
        self.nodes = AsyncNodes(self.http)
        self.chips = AsyncChips(self.http)
        self.queues = AsyncQueues(self.http)
        self.endpoints = AsyncEndpoints(self.http)
        self.tokens = AsyncTokens(self.http)
        self.projects = AsyncProjects(self.http)

    async def whoami(self) -> Identity:
        return parse(Identity, await self.http.send(routes.read("whoami")))

    async def plan(self, spec: JobSpec | Mapping[str, Any]) -> PlanAnswer:
        """Whether the job would fit now, and where."""
        return parse(PlanAnswer, await self.http.send(routes.plan(body(spec))))

    async def replicas(self, **filters: Any) -> AsyncIterator[Replica]:
        async for item in self.http.items(routes.read("replicas", params=filters)):
            yield Replica.model_validate(item)

    async def cycles(self) -> AsyncIterator[Cycle]:
        """Records of scheduling cycles, newest first."""
        async for item in self.http.items(routes.read("cycles")):
            yield Cycle.model_validate(item)

    async def events(self, **filters: Any) -> AsyncIterator[Event]:
        """Events so far."""
        async for item in self.http.items(routes.read("events", params=filters)):
            yield Event.model_validate(item)

    async def follow_events(self, last_id: str | None = None) -> AsyncIterator[Event]:
        """Events as they happen, without end."""
        async for event in self.http.events(routes.event_stream(), last_id):
            yield parse_event(Event, event)

    async def close(self) -> None:
        await self.http.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()
