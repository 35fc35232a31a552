"""Sends one request to a replica; tries another one as long as nothing of an answer has come.
How the answer goes to the client is `relay.py`'s.
"""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from dataclasses import dataclass
from functools import partial

import httpx
import structlog
from starlette.responses import Response

from control_plane.gateway.balancer import Balancer
from control_plane.gateway.errors import not_ready, too_slow
from control_plane.gateway.relay import Relay, Upstream
from control_plane.gateway.routes import Routes
from control_plane.gateway.usage import UsageReader
from control_plane.services.deps import Deps
from control_plane.services.endpoints.routes import OpenModel, Route
from control_plane.services.usage.meter_tokens import Metered, meter_tokens
from control_plane.store.database.faults import DatabaseFault
from penstock.api.ids import ProjectId, ReplicaId, TokenId

log = structlog.get_logger()

MAX_REPLICAS_TRIED = 5
_PASSED_ON = ("content-type", "x-request-id", "x-penstock-chip-type", "retry-after")
_CLOSED = (httpx.ReadError, httpx.WriteError, httpx.RemoteProtocolError)
_DEAD = (httpx.NetworkError, httpx.ConnectTimeout, httpx.RemoteProtocolError, httpx.DecodingError)
_HEADERS = {"content-type": "application/json", "accept-encoding": "identity"}


@dataclass(frozen=True, slots=True)
class Ask:
    """One request of one caller."""

    path: str
    body: bytes
    streamed: bool
    hides_usage: bool
    chip_type: str | None
    project_id: ProjectId | None
    token_id: TokenId


class Proxy:
    """Shared by all requests of the process."""

    def __init__(
        self, deps: Deps, routes: Routes, client: httpx.AsyncClient, anew: httpx.AsyncClient
    ) -> None:
        """`client` keeps its connections, `anew` makes one for each request."""
        self._deps = deps
        self._routes = routes
        self._client = client
        self._anew = anew
        self._balancer = Balancer()
        self._metering: set[asyncio.Task[None]] = set()

    async def forward(self, model: OpenModel, ask: Ask) -> Response:
        """The answer of the first replica that gives one; raises GatewayError if none does."""
        tried: set[ReplicaId] = set()
        while len(tried) < MAX_REPLICAS_TRIED:
            route = self._balancer.choose(_eligible(model, ask), tried)
            if route is None:
                break
            tried.add(route.replica_id)
            answer = await self._ask(route, ask)
            if answer is not None:
                return answer
            await self._routes.refresh_now()
            model = await self._routes.find(model.endpoint_id, ask.project_id) or model
        raise not_ready(model.model, ask.chip_type)

    def outstanding(self, replica_id: ReplicaId) -> int:
        return self._balancer.outstanding(replica_id)

    async def drained(self) -> None:
        """Waits for the counts that are still being written."""
        await asyncio.gather(*self._metering, return_exceptions=True)

    async def _ask(self, route: Route, ask: Ask) -> Response | None:
        """None if the replica is dead or leaving: nothing was sent yet, another may try."""
        async with AsyncExitStack() as stack:
            stack.enter_context(self._balancer.request(route))
            upstream = await self._begin(stack, route, ask)
            if upstream is None:
                return None
            usage = UsageReader(ask.streamed, ask.hides_usage)
            meter = partial(self._meter, route, ask)
            return Relay(upstream, stack.pop_all(), usage, ask.streamed, meter)

    async def _begin(self, stack: AsyncExitStack, route: Route, ask: Ask) -> Upstream | None:
        """Once more over a new connection where a kept one was closed as the request came."""
        try:
            try:
                return await self._send(stack, self._client, route, ask)
            except _CLOSED:
                return await self._send(stack, self._anew, route, ask)
        except _DEAD:
            return None
        except httpx.TimeoutException as error:
            raise too_slow(ask.path) from error

    async def _send(
        self, stack: AsyncExitStack, client: httpx.AsyncClient, route: Route, ask: Ask
    ) -> Upstream | None:
        """None from a replica that is leaving. Whatever it packed its answer in is taken off."""
        url = f"http://{route.address}{ask.path}"
        request = client.build_request("POST", url, content=ask.body, headers=_HEADERS)
        reply = await client.send(request, stream=True)
        stack.push_async_callback(reply.aclose)
        if reply.status_code == 503:
            return None
        rest = reply.aiter_bytes()
        first = await anext(rest, b"")
        headers = {key: reply.headers[key] for key in _PASSED_ON if key in reply.headers}
        headers["x-penstock-replica"] = route.replica_id
        return Upstream(reply.status_code, headers, first, rest)

    def _meter(self, route: Route, ask: Ask, usage: UsageReader) -> None:
        used = Metered(
            route.project_id,
            ask.token_id,
            route.endpoint_id,
            route.chip_type,
            usage.prompt_tokens,
            usage.completion_tokens,
        )
        task = asyncio.create_task(self._count(used))
        self._metering.add(task)
        task.add_done_callback(self._metering.discard)

    async def _count(self, used: Metered) -> None:
        try:
            await asyncio.to_thread(meter_tokens, self._deps, used)
        except DatabaseFault as error:
            log.error("tokens_not_counted", used=repr(used), error=str(error))


def _eligible(model: OpenModel, ask: Ask) -> list[Route]:
    return [route for route in model.routes if ask.chip_type in (None, route.chip_type)]
