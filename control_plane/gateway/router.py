"""The routes `/v1/…` and `/at/{chip_type}/v1/…`: authenticate, find the model, forward."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import httpx
from fastapi import APIRouter, Request
from starlette.responses import JSONResponse, Response

from control_plane.errors import Unauthenticated
from control_plane.gateway.errors import GatewayError, not_ready, unknown_model
from control_plane.gateway.proxy import Ask, Proxy
from control_plane.gateway.relay import unless_gone
from control_plane.gateway.routes import Routes
from control_plane.hub import Hub
from control_plane.services.deps import Caller, Deps
from control_plane.services.tokens import authenticate
from penstock.api.states import Role

MAX_BODY_BYTES = 8 * 2**20
BODY_DEADLINE_S = 30.0
CLIENT_LEFT = 499
_TIMEOUT = httpx.Timeout(connect=2.0, read=600.0, write=60.0, pool=10.0)
_LIMITS = httpx.Limits(max_connections=None, max_keepalive_connections=100)
OPERATIONS = ("chat/completions", "completions", "embeddings", "rerank", "tokenize", "detokenize")


class Gateway:
    """Builds the router, and runs what it needs for as long as the application lives."""

    def __init__(self, deps: Deps, hub: Hub, auth: bool = True) -> None:
        self._deps = deps
        self._auth = auth
        self._routes = Routes(deps, hub)
        self._client = httpx.AsyncClient(timeout=_TIMEOUT, limits=_LIMITS, trust_env=False)
        self._proxy = Proxy(deps, self._routes, self._client)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Listens for route changes; drains and closes at the end."""
        listening = asyncio.create_task(self._routes.listen())
        try:
            yield
        finally:
            listening.cancel()
            with suppress(asyncio.CancelledError):
                await listening
            await self._proxy.drained()
            await self._client.aclose()

    def outstanding(self, replica_id: str) -> int:
        """Requests that are under way to a replica."""
        return self._proxy.outstanding(replica_id)

    def router(self) -> APIRouter:
        router = APIRouter(tags=["openai"], include_in_schema=False)
        for prefix in ("/v1", "/at/{chip_type}/v1"):
            router.add_api_route(f"{prefix}/models", self._models, methods=["GET"])
            for operation in OPERATIONS:
                path = f"{prefix}/{operation}"
                router.add_api_route(path, self._forward, methods=["POST"])
        return router

    async def _models(self, request: Request) -> Response:
        try:
            caller = await self._caller(request)
        except GatewayError as error:
            return error.response()
        chip_type = request.path_params.get("chip_type")
        models = [
            {"id": m.model, "object": "model", "created": m.created_at_s, "owned_by": "penstock"}
            for m in await self._routes.all(caller.sees)
            if any(chip_type in (None, route.chip_type) for route in m.routes)
        ]
        return JSONResponse({"object": "list", "data": models})

    async def _forward(self, request: Request) -> Response:
        try:
            caller = await self._caller(request)
            body = await _body(request)
            document = _document(body)
            name = document["model"]
            model = await self._routes.find(name, caller.sees)
            if model is None:
                known = [m.model for m in await self._routes.all(caller.sees)]
                raise unknown_model(name, known)
            chip_type = request.path_params.get("chip_type")
            if not model.routes:
                raise not_ready(name, chip_type)
            path = "/v1/" + request.url.path.partition("/v1/")[2]
            ask = _ask(path, body, document, chip_type, caller)
            answer = await unless_gone(self._proxy.forward(model, ask), request.receive)
            return answer or Response(status_code=CLIENT_LEFT)
        except GatewayError as error:
            return error.response()

    async def _caller(self, request: Request) -> Caller:
        if not self._auth:
            return Caller("none", "anonymous", Role.ADMIN, None, None)
        scheme, _, secret = request.headers.get("authorization", "").partition(" ")
        try:
            if scheme.lower() != "bearer" or not secret:
                raise Unauthenticated("no token")
            known = await asyncio.to_thread(authenticate, self._deps, secret.strip())
            return known.caller
        except Unauthenticated:
            raise GatewayError(
                401, "A valid API token is needed: Authorization: Bearer …",
                "invalid_request_error", "invalid_api_key",
            ) from None  # fmt: skip


async def _body(request: Request) -> bytes:
    """The whole body, refused as soon as it is too long, or too long in coming."""
    try:
        async with asyncio.timeout(BODY_DEADLINE_S):
            return b"".join([part async for part in _parts(request)])
    except TimeoutError as error:
        raise GatewayError(
            408, f"The body did not arrive within {BODY_DEADLINE_S:.0f} s.",
            "invalid_request_error", "body_too_slow",
        ) from error  # fmt: skip


async def _parts(request: Request) -> AsyncIterator[bytes]:
    length = 0
    async for part in request.stream():
        length += len(part)
        if length > MAX_BODY_BYTES:
            raise GatewayError(
                413, f"The body is longer than {MAX_BODY_BYTES} bytes.",
                "invalid_request_error", "body_too_large",
            )  # fmt: skip
        yield part


def _ask(
    path: str, body: bytes, document: dict[str, Any], chip_type: str | None, caller: Caller
) -> Ask:
    """Streams are asked for their usage too, which plain answers always carry."""
    streamed = document.get("stream") is True
    options = document.get("stream_options") or {}
    hides_usage = streamed and isinstance(options, dict) and not options.get("include_usage")
    if hides_usage:
        asked = {**document, "stream_options": {**options, "include_usage": True}}
        body = json.dumps(asked).encode()
    return Ask(path, body, streamed, hides_usage, chip_type, caller.sees, caller.token_id)


def _document(body: bytes) -> dict[str, Any]:
    try:
        document = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise GatewayError(
            400, f"The body is not JSON: {error}.", "invalid_request_error", "invalid_json"
        ) from error
    if not isinstance(document, dict) or not isinstance(document.get("model"), str):
        raise GatewayError(
            400, "The body must be an object with a string `model`.",
            "invalid_request_error", "model_missing",
        )  # fmt: skip
    return document
