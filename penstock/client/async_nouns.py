"""The smaller nouns of the typed asynchronous client."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from typing import Any

from penstock.api.chips import Chip, ChipType
from penstock.api.endpoints import Endpoint
from penstock.api.nodes import JoinToken, Node
from penstock.api.queues import Queue
from penstock.api.tokens import JoinTokenRequest, NewToken, Project, Token, TokenRequest
from penstock.client import routes
from penstock.client.async_http import AsyncHttp
from penstock.client.parsing import body, parse


class AsyncNodes:
    """Nodes, by id or name."""

    def __init__(self, http: AsyncHttp) -> None:
        self._http = http

    async def list(self, **filters: Any) -> AsyncIterator[Node]:
        async for item in self._http.items(routes.read("nodes", params=filters)):
            yield Node.model_validate(item)

    async def get(self, ref: str) -> Node:
        return parse(Node, await self._http.send(routes.read("nodes", ref)))

    async def cordon(self, ref: str) -> Node:
        """No new placements; what runs goes on."""
        return parse(Node, await self._http.send(routes.act("nodes", ref, "cordon")))

    async def uncordon(self, ref: str) -> Node:
        return parse(Node, await self._http.send(routes.act("nodes", ref, "uncordon")))

    async def drain(self, ref: str) -> Node:
        """No new placements, and what runs is moved away."""
        return parse(Node, await self._http.send(routes.act("nodes", ref, "drain")))

    async def retire(self, ref: str) -> Node:
        """Takes an empty node out for good."""
        return parse(Node, await self._http.send(routes.act("nodes", ref, "retire")))

    async def join_token(self, request: JoinTokenRequest | None = None) -> JoinToken:
        """A single-use token with which one agent enrols."""
        document = body(request or JoinTokenRequest())
        return parse(JoinToken, await self._http.send(routes.create("join-tokens", document)))


class AsyncChips:
    """Chips and the types they are of."""

    def __init__(self, http: AsyncHttp) -> None:
        self._http = http

    async def list(self, **filters: Any) -> AsyncIterator[Chip]:
        async for item in self._http.items(routes.read("chips", params=filters)):
            yield Chip.model_validate(item)

    async def get(self, chip_id: str) -> Chip:
        return parse(Chip, await self._http.send(routes.read("chips", chip_id)))

    async def types(self) -> AsyncIterator[ChipType]:
        async for item in self._http.items(routes.read("chip-types")):
            yield ChipType.model_validate(item)


class AsyncQueues:
    """Queues, by name."""

    def __init__(self, http: AsyncHttp) -> None:
        self._http = http

    async def list(self) -> AsyncIterator[Queue]:
        async for item in self._http.items(routes.read("queues")):
            yield Queue.model_validate(item)

    async def get(self, name: str) -> Queue:
        return parse(Queue, await self._http.send(routes.read("queues", name)))

    async def set_limits(
        self, name: str, limits: Mapping[str, int], etag: str | None = None
    ) -> Queue:
        """Makes the queue or changes its limits; with `etag` only if nobody else did since."""
        return parse(Queue, await self._http.send(routes.set_queue(name, limits, etag)))


class AsyncEndpoints:
    """Endpoints of serving jobs, by id or name."""

    def __init__(self, http: AsyncHttp) -> None:
        self._http = http

    async def list(self, **filters: Any) -> AsyncIterator[Endpoint]:
        async for item in self._http.items(routes.read("endpoints", params=filters)):
            yield Endpoint.model_validate(item)

    async def get(self, ref: str) -> Endpoint:
        return parse(Endpoint, await self._http.send(routes.read("endpoints", ref)))


class AsyncTokens:
    """API tokens."""

    def __init__(self, http: AsyncHttp) -> None:
        self._http = http

    async def create(self, request: TokenRequest) -> NewToken:
        """A new token; its secret is in this answer and nowhere else."""
        return parse(NewToken, await self._http.send(routes.create("tokens", body(request))))

    async def list(self) -> AsyncIterator[Token]:
        async for item in self._http.items(routes.read("tokens")):
            yield Token.model_validate(item)

    async def revoke(self, token_id: str) -> None:
        await self._http.send(routes.revoke_token(token_id))


class AsyncProjects:
    """Projects, the tenants."""

    def __init__(self, http: AsyncHttp) -> None:
        self._http = http

    async def list(self) -> AsyncIterator[Project]:
        async for item in self._http.items(routes.read("projects")):
            yield Project.model_validate(item)

    async def create(self, name: str) -> Project:
        return parse(Project, await self._http.send(routes.create("projects", {"name": name})))
