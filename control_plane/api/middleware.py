"""Gives every request an id and every answer its security headers. Plain ASGI, no more."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, MutableMapping
from typing import Any, Final

import structlog
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from uuid_utils import uuid7

_GIVEN_ID: Final = re.compile(rb"[A-Za-z0-9._:-]{1,128}")
_SECURITY: Final = (
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
    (b"cross-origin-resource-policy", b"same-origin"),
)
Observe = Callable[[str, str, int, float], None]
"""(route, method, status, seconds) of one answered request."""


def common_headers(request_id: str) -> dict[str, str]:
    """What every answer carries; the middleware adds what a response did not set itself."""
    headers = {name.decode(): value.decode() for name, value in _SECURITY}
    return {**headers, "x-request-id": request_id, "cache-control": "no-store"}


class RequestFrame:
    """The outermost layer: request ids in, headers out, one observation per request."""

    def __init__(self, app: ASGIApp, observe: Observe | None = None) -> None:
        self._app = app
        self._observe = observe

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id = _request_id(scope)
        scope.setdefault("state", {})["request_id"] = request_id
        started, status = time.perf_counter(), 500

        async def framed(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = _with_ours(message, request_id)
            await send(message)

        with structlog.contextvars.bound_contextvars(request_id=request_id):
            try:
                await self._app(scope, receive, framed)
            finally:
                if self._observe is not None:
                    path = _route_path(scope)
                    self._observe(path, scope["method"], status, time.perf_counter() - started)


def _request_id(scope: Scope) -> str:
    """The caller's own id where it is harmless in logs and headers, else a new one."""
    for name, value in scope["headers"]:
        if name == b"x-request-id" and _GIVEN_ID.fullmatch(value):
            return bytes(value).decode("ascii")
    return f"req_{uuid7().hex}"


def _with_ours(message: MutableMapping[str, Any], request_id: str) -> list[tuple[bytes, bytes]]:
    headers = list(message.get("headers", ()))
    given = {name for name, _ in headers}
    ours = (
        *_SECURITY,
        (b"x-request-id", request_id.encode("ascii")),
        (b"cache-control", b"private, no-cache"),
    )
    headers += [(name, value) for name, value in ours if name not in given]
    return headers


def _route_path(scope: Scope) -> str:
    """The pattern of the route, never the path itself: labels must be few."""
    return getattr(scope.get("route"), "path", "unknown")
