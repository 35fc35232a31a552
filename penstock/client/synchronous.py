"""The typed synchronous client: `Client("http://127.0.0.1:8470", token).jobs.get("hello")`."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Self

import httpx

from penstock.api.jobs import Event, Replica
from penstock.api.plans import Cycle, PlanAnswer
from penstock.api.specs import JobSpec
from penstock.api.tokens import Identity
from penstock.client import routes
from penstock.client.connection import Connection
from penstock.client.http import Http
from penstock.client.jobs import Jobs
from penstock.client.nouns import Chips, Endpoints, Nodes, Projects, Queues, Tokens
from penstock.client.parsing import body, parse, parse_event


class Client:
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
        transport: httpx.BaseTransport | None = None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        connection = Connection(server, token, timeout_s=timeout_s)
        self.http = Http(connection, transport=transport, sleep=sleep)
        self.jobs = Jobs(self.http, sleep)
        self.nodes = Nodes(self.http)
        self.chips = Chips(self.http)
        self.queues = Queues(self.http)
        self.endpoints = Endpoints(self.http)
        self.tokens = Tokens(self.http)
        self.projects = Projects(self.http)

    def whoami(self) -> Identity:
        return parse(Identity, self.http.send(routes.read("whoami")))

    def plan(self, spec: JobSpec | Mapping[str, Any]) -> PlanAnswer:
        """Whether the job would fit now, and where."""
        return parse(PlanAnswer, self.http.send(routes.plan(body(spec))))

    def replicas(self, **filters: Any) -> Iterator[Replica]:
        for item in self.http.items(routes.read("replicas", params=filters)):
            yield Replica.model_validate(item)

    def cycles(self) -> Iterator[Cycle]:
        """Records of scheduling cycles, newest first."""
        for item in self.http.items(routes.read("cycles")):
            yield Cycle.model_validate(item)

    def events(self, **filters: Any) -> Iterator[Event]:
        """Events so far."""
        for item in self.http.items(routes.read("events", params=filters)):
            yield Event.model_validate(item)

    def follow_events(self, last_id: str | None = None) -> Iterator[Event]:
        """Events as they happen, without end."""
        for event in self.http.events(routes.event_stream(), last_id):
            yield parse_event(Event, event)

    def close(self) -> None:
        self.http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
