"""The routes `/v1/…` and `/at/{chip_type}/v1/…`: authenticate, find the model, forward."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from functools import partial
from typing import TypeVar

import httpx
import structlog
from fastapi import APIRouter, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from control_plane.errors import QuotaExceeded, Unauthenticated
from control_plane.gateway.errors import (
    INVALID,
    GatewayError,
    database_away,
    no_token,
    not_local,
    not_ready,
    too_many,
    type_not_served,
    unknown_chip_type,
    unknown_model,
    unknown_path,
    unreadable,
    wrong_method,
)
from control_plane.gateway.proxy import Ask, Proxy
from control_plane.gateway.relay import unless_gone
from control_plane.gateway.routes import Routes
from control_plane.hints.hub import Hub
from control_plane.server.checks import Checks
from control_plane.services.accounts.known_callers import KnownCallers
from control_plane.services.accounts.tokens import authenticate, check_alive
from control_plane.services.deps import Caller, Deps
from control_plane.services.endpoints.routes import OpenModel, known_types, wish_against
from control_plane.store.database.faults import DatabaseFault
from penstock.addresses import asked_from_here
from penstock.api.ids import ReplicaId, TokenId
from penstock.api.states import Role
from penstock.bounded import TooLong, read_bounded
from penstock.documents import DocumentError, Limits, parse_document
from penstock.json_types import Json

log = structlog.get_logger()

Made = TypeVar("Made")
Handler = Callable[[Request], Awaitable[Response]]
PREFIXES = ("/v1", "/at/{chip_type}/v1")
MAX_BODY_BYTES = 8 * 2**20
LIMITS = Limits(MAX_BODY_BYTES, 200_000, 100_000, any_value=True)
"""Images in base64, prompts as lists of tokens, a bias for each word of a vocabulary."""
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
        self._checks = Checks()
        self._known = KnownCallers()
        self._routes = Routes(deps, hub)
        kept, anew = (
            httpx.AsyncClient(timeout=_TIMEOUT, limits=limits, trust_env=False)
            for limits in (_LIMITS, httpx.Limits(max_keepalive_connections=0))
        )
        self._clients = kept, anew
        self._proxy = Proxy(deps, self._routes, kept, anew)

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
            for client in self._clients:
                await client.aclose()

    def outstanding(self, replica_id: ReplicaId) -> int:
        """Requests that are under way to a replica."""
        return self._proxy.outstanding(replica_id)

    def router(self) -> APIRouter:
        router = APIRouter(tags=["openai"], include_in_schema=False)
        for prefix in PREFIXES:
            add = partial(router.add_api_route, methods=["GET"])
            add(f"{prefix}/models", _answering(self._models))
            add(f"{prefix}/models/{{model:path}}", _answering(self._model))
            for operation in OPERATIONS:
                path = f"{prefix}/{operation}"
                router.add_api_route(path, _answering(self._forward), methods=["POST"])
        for prefix in (*PREFIXES, "/at"):
            for path in (prefix, f"{prefix}/{{rest:path}}"):
                router.routes.append(Route(path, _Astray(), include_in_schema=False))
        return router

    async def _models(self, request: Request) -> Response:
        caller = await self._caller(request)
        chip_type = await self._chip_type(request)
        found = [
            _document_of(model)
            for model in await self._routes.all(caller.sees)
            if any(chip_type in (None, route.chip_type) for route in model.routes)
        ]
        return JSONResponse({"object": "list", "data": found})

    async def _model(self, request: Request) -> Response:
        caller = await self._caller(request)
        await self._chip_type(request)
        return JSONResponse(_document_of(await self._find(request.path_params["model"], caller)))

    async def _forward(self, request: Request) -> Response:
        caller = await self._caller(request)
        chip_type = await self._chip_type(request)
        body = await _body(request)
        document = await self._checked(caller, body, partial(_document, body))
        name = document["model"]
        model = await self._find(name, caller)
        await self._check_wish(model, chip_type)
        if not model.routes:
            raise not_ready(name, chip_type)
        path = "/v1/" + request.url.path.partition("/v1/")[2]
        made = partial(_ask, path, body, document, model.is_our_engine, chip_type, caller)
        ask = await self._checked(caller, body, made)
        answer = await unless_gone(self._proxy.forward(model, ask), request.receive)
        return answer or Response(status_code=CLIENT_LEFT)

    async def _checked(self, caller: Caller, body: bytes, work: Callable[[], Made]) -> Made:
        """What reads or writes a whole body: away from the event loop where that is long."""
        return await self._checks.run(caller.token_id, len(body), work, 0.0)

    async def _find(self, name: str, caller: Caller) -> OpenModel:
        model = await self._routes.find(name, caller.sees)
        if model is None:
            raise unknown_model(name, [one.model for one in await self._routes.all(caller.sees)])
        return model

    async def _chip_type(self, request: Request) -> str | None:
        """What `/at/{chip_type}` names; None without. A type that there could be is none that
        is unknown: its replicas may still come.
        """
        chip_type: str | None = request.path_params.get("chip_type")
        if chip_type is None or await self._routes.has_type(chip_type):
            return chip_type
        known = await asyncio.to_thread(known_types, self._deps)
        if chip_type not in known:
            raise unknown_chip_type(chip_type, known)
        return chip_type

    async def _check_wish(self, model: OpenModel, chip_type: str | None) -> None:
        """Refuses a type that the model's job can never get: to wait for it would be for ever."""
        if chip_type is None or any(chip_type == it.chip_type for it in model.routes):
            return
        wish = await asyncio.to_thread(wish_against, self._deps, model.endpoint_id, chip_type)
        if wish is not None:
            raise type_not_served(model.model, chip_type, wish)

    async def _caller(self, request: Request) -> Caller:
        if not self._auth:
            if not asked_from_here(request.headers):
                raise not_local()
            return Caller(TokenId("none"), "anonymous", Role.ADMIN, None, None)
        scheme, _, secret = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not secret.strip():
            raise no_token()
        try:
            return await self._by_secret(secret.strip())
        except Unauthenticated:
            raise no_token() from None

    async def _by_secret(self, secret: str) -> Caller:
        known = self._known.get(secret)
        if known is None:
            known = await asyncio.to_thread(authenticate, self._deps, secret)
            self._known.put(secret, known)
        check_alive(None, known.expires_at, self._deps.clock.now())
        return known.caller


class _Astray:
    """Answers for every path and method below ours that no route has."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path: str = scope["path"]
        prefix = path[: path.find("/v1")] if path.startswith("/at/") and "/v1" in path else ""
        operation = path.removeprefix(f"{prefix}/v1/")
        if operation == "models" or operation.startswith("models/"):
            error = wrong_method(scope["method"], path, "GET")
        elif operation in OPERATIONS:
            error = wrong_method(scope["method"], path, "POST")
        else:
            known = [f"{prefix}/v1/{one}" for one in ("models", *OPERATIONS)]
            error = unknown_path(path, known)
        await error.response()(scope, receive, send)


def _answering(handle: Handler) -> Handler:
    """The handler with every error that it may end with as an answer."""

    async def answer(request: Request) -> Response:
        try:
            return await handle(request)
        except GatewayError as error:
            return error.response()
        except QuotaExceeded as error:
            return too_many(error).response()
        except DatabaseFault as error:
            log.warning("database_error", kind=type(error).__name__, error=str(error)[:500])
            return database_away().response()

    return answer


def _document_of(model: OpenModel) -> Json:
    return {
        "id": model.model, "object": "model", "created": model.created_at_s,
        "owned_by": "penstock",
    }  # fmt: skip


async def _body(request: Request) -> bytes:
    """The whole body, refused as soon as it is too long, or too long in coming."""
    try:
        return await read_bounded(request.stream(), MAX_BODY_BYTES, BODY_DEADLINE_S)
    except TooLong as error:
        raise GatewayError(
            413, f"The body is longer than {MAX_BODY_BYTES} bytes.", INVALID, "body_too_large"
        ) from error
    except TimeoutError as error:
        raise GatewayError(
            408,
            f"The body did not arrive within {BODY_DEADLINE_S:.0f} s.",
            INVALID,
            "body_too_slow",
        ) from error


def _ask(
    path: str, body: bytes, document: Json, ours: bool, chip_type: str | None, caller: Caller
) -> Ask:
    """Streams of our engine are asked for their usage too, which plain answers always carry. What
    another engine may be asked is for its client to know.
    """
    streamed = document.get("stream") is True
    options = document.get("stream_options") or {}
    asks = isinstance(options, dict) and not options.get("include_usage")
    hides_usage = ours and streamed and asks
    if hides_usage:
        asked = {**document, "stream_options": {**options, "include_usage": True}}
        body = json.dumps(asked).encode()
    return Ask(path, body, streamed, hides_usage, chip_type, caller.sees, caller.token_id)


def _document(body: bytes) -> Json:
    try:
        document = parse_document(body, syntax="json", limits=LIMITS).value
    except DocumentError as error:
        raise unreadable(error) from error
    if not isinstance(document.get("model"), str):
        raise GatewayError(
            400,
            "The body must be an object with a string `model`.",
            INVALID,
            "model_missing",
            param="model",
        )
    return document
