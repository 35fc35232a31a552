"""The smaller nouns of the typed synchronous client."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from penstock.api.chips import Chip, ChipType
from penstock.api.endpoints import Endpoint
from penstock.api.nodes import JoinToken, Node
from penstock.api.queues import Queue
from penstock.api.tokens import JoinTokenRequest, NewToken, Project, Token, TokenRequest
from penstock.client import routes
from penstock.client.http import Http
from penstock.client.parsing import body, parse


class Nodes:
    """Nodes, by id or name."""

    def __init__(self, http: Http) -> None:
        self._http = http

    def list(self, **filters: Any) -> Iterator[Node]:
        for item in self._http.items(routes.read("nodes", params=filters)):
            yield Node.model_validate(item)

    def get(self, ref: str) -> Node:
        return parse(Node, self._http.send(routes.read("nodes", ref)))

    def cordon(self, ref: str) -> Node:
        """No new placements; what runs goes on."""
        return parse(Node, self._http.send(routes.act("nodes", ref, "cordon")))

    def uncordon(self, ref: str) -> Node:
        return parse(Node, self._http.send(routes.act("nodes", ref, "uncordon")))

    def drain(self, ref: str) -> Node:
        """No new placements, and what runs is moved away."""
        return parse(Node, self._http.send(routes.act("nodes", ref, "drain")))

    def retire(self, ref: str) -> Node:
        """Takes an empty node out for good."""
        return parse(Node, self._http.send(routes.act("nodes", ref, "retire")))

    def join_token(self, request: JoinTokenRequest | None = None) -> JoinToken:
        """A single-use token with which one agent enrols."""
        document = body(request or JoinTokenRequest())
        return parse(JoinToken, self._http.send(routes.create("join-tokens", document)))


class Chips:
    """Chips and the types they are of."""

    def __init__(self, http: Http) -> None:
        self._http = http

    def list(self, **filters: Any) -> Iterator[Chip]:
        for item in self._http.items(routes.read("chips", params=filters)):
            yield Chip.model_validate(item)

    def get(self, chip_id: str) -> Chip:
        return parse(Chip, self._http.send(routes.read("chips", chip_id)))

    def types(self) -> Iterator[ChipType]:
        for item in self._http.items(routes.read("chip-types")):
            yield ChipType.model_validate(item)


class Queues:
    """Queues, by name."""

    def __init__(self, http: Http) -> None:
        self._http = http

    def list(self) -> Iterator[Queue]:
        for item in self._http.items(routes.read("queues")):
            yield Queue.model_validate(item)

    def get(self, name: str) -> Queue:
        return parse(Queue, self._http.send(routes.read("queues", name)))

    def set_limits(self, name: str, limits: Mapping[str, int], etag: str | None = None) -> Queue:
        """Makes the queue or changes its limits; with `etag` only if nobody else did since."""
        return parse(Queue, self._http.send(routes.set_queue(name, limits, etag)))


class Endpoints:
    """Endpoints of serving jobs, by id or name."""

    def __init__(self, http: Http) -> None:
        self._http = http

    def list(self, **filters: Any) -> Iterator[Endpoint]:
        for item in self._http.items(routes.read("endpoints", params=filters)):
            yield Endpoint.model_validate(item)

    def get(self, ref: str) -> Endpoint:
        return parse(Endpoint, self._http.send(routes.read("endpoints", ref)))


class Tokens:
    """API tokens."""

    def __init__(self, http: Http) -> None:
        self._http = http

    def create(self, request: TokenRequest) -> NewToken:
        """A new token; its secret is in this answer and nowhere else."""
        return parse(NewToken, self._http.send(routes.create("tokens", body(request))))

    def list(self) -> Iterator[Token]:
        for item in self._http.items(routes.read("tokens")):
            yield Token.model_validate(item)

    def revoke(self, token_id: str) -> None:
        self._http.send(routes.revoke_token(token_id))


class Projects:
    """Projects, the tenants."""

    def __init__(self, http: Http) -> None:
        self._http = http

    def list(self) -> Iterator[Project]:
        for item in self._http.items(routes.read("projects")):
            yield Project.model_validate(item)

    def create(self, name: str) -> Project:
        return parse(Project, self._http.send(routes.create("projects", {"name": name})))
