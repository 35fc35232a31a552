"""Sends one request to a replica and its answer back, streaming; tries another replica as long
as nothing of an answer has been sent.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass

import httpx
from starlette.responses import Response, StreamingResponse

from control_plane.gateway.balancer import Balancer
from control_plane.gateway.errors import not_ready
from control_plane.gateway.routes import Routes
from control_plane.gateway.usage import UsageReader
from control_plane.services.deps import Deps
from control_plane.services.meter_tokens import Metered, meter_tokens
from control_plane.services.read_routes import OpenModel, Route

MAX_REPLICAS_TRIED = 5
_PASSED_ON = ("content-type", "x-request-id", "x-penstock-chip-type", "retry-after")
_DEAD = (httpx.ConnectError, httpx.ConnectTimeout, httpx.RemoteProtocolError, httpx.ReadError)


@dataclass(frozen=True, slots=True)
class Ask:
    """One request of one caller."""

    path: str
    body: bytes
    streamed: bool
    chip_type: str | None
    project_id: str | None
    token_id: str


class Proxy:
    """Shared by all requests of the process."""

    def __init__(self, deps: Deps, routes: Routes, client: httpx.AsyncClient) -> None:
        self._deps = deps
        self._routes = routes
        self._client = client
        self._balancer = Balancer()
        self._metering: set[asyncio.Task[None]] = set()

    async def forward(self, model: OpenModel, ask: Ask) -> Response:
        """The answer of the first replica that gives one; raises GatewayError if none does."""
        tried: set[str] = set()
        while len(tried) < MAX_REPLICAS_TRIED:
            route = self._balancer.choose(_eligible(model, ask), tried)
            if route is None:
                break
            tried.add(route.replica_id)
            answer = await self._ask(route, ask)
            if answer is not None:
                return answer
            await self._routes.refresh_now()
            model = await self._routes.find(model.model, ask.project_id) or model
        raise not_ready(model.model, ask.chip_type)

    async def drained(self) -> None:
        """Waits for the counts that are still being written."""
        await asyncio.gather(*self._metering, return_exceptions=True)

    async def _ask(self, route: Route, ask: Ask) -> Response | None:
        """None if the replica is dead or leaving: nothing was sent yet, another may try."""
        stack = AsyncExitStack()
        stack.enter_context(self._balancer.request(route))
        request = self._client.build_request(
            "POST", f"http://{route.address}{ask.path}", content=ask.body,
            headers={"content-type": "application/json"},
        )  # fmt: skip
        try:
            reply = await self._client.send(request, stream=True)
            stack.push_async_callback(reply.aclose)
            if reply.status_code == 503:
                raise httpx.RemoteProtocolError("the replica is leaving")
            chunks = reply.aiter_raw()
            first = await anext(chunks, b"")
        except _DEAD:
            await stack.aclose()
            return None
        except BaseException:
            await stack.aclose()
            raise
        headers = {key: reply.headers[key] for key in _PASSED_ON if key in reply.headers}
        headers["x-penstock-replica"] = route.replica_id
        body = self._relay(stack, first, chunks, route, ask, reply.status_code)
        return StreamingResponse(body, status_code=reply.status_code, headers=headers)

    async def _relay(
        self, stack: AsyncExitStack, first: bytes, rest: AsyncIterator[bytes], route: Route,
        ask: Ask, status: int,
    ) -> AsyncIterator[bytes]:  # fmt: skip
        usage = UsageReader(ask.streamed)
        try:
            usage.feed(first)
            yield first
            async for chunk in rest:
                usage.feed(chunk)
                yield chunk
        finally:
            await stack.aclose()
            if status == 200:
                self._meter(route, ask, usage)

    def _meter(self, route: Route, ask: Ask, usage: UsageReader) -> None:
        usage.close()
        used = Metered(
            route.project_id, ask.token_id, route.endpoint_id, route.chip_type,
            usage.prompt_tokens, usage.completion_tokens,
        )  # fmt: skip
        task = asyncio.create_task(asyncio.to_thread(meter_tokens, self._deps, used))
        self._metering.add(task)
        task.add_done_callback(self._metering.discard)


def _eligible(model: OpenModel, ask: Ask) -> list[Route]:
    return [route for route in model.routes if ask.chip_type in (None, route.chip_type)]
