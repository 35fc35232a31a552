"""Gives every request an id and every answer its security headers. Plain ASGI, no more."""

from __future__ import annotations

import re
from typing import Final

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


def common_headers(request_id: str) -> dict[str, str]:
    """What every answer carries; the middleware adds what a response did not set itself."""
    headers = {name.decode(): value.decode() for name, value in _SECURITY}
    return {**headers, "x-request-id": request_id, "cache-control": "no-store"}


class RequestFrame:
    """The outermost layer: request ids in, headers out. HEAD is answered as GET without a body."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id = _request_id(scope)
        scope.setdefault("state", {})["request_id"] = request_id
        head = _is_head(scope)
        inner = {**scope, "method": "GET"} if head else scope

        async def framed(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = _with_ours(message, request_id)
                if "route" in inner:  # for the layers around us
                    scope["route"] = inner["route"]
            elif head:
                message = {**message, "body": b""}
            await send(message)

        with structlog.contextvars.bound_contextvars(request_id=request_id):
            await self._app(inner, receive, framed)


def _is_head(scope: Scope) -> bool:
    """A stream without a body would go on in silence: HEAD of one is refused as before."""
    accepted = b",".join(value for name, value in scope["headers"] if name == b"accept")
    return scope["method"] == "HEAD" and b"text/event-stream" not in accepted


def _request_id(scope: Scope) -> str:
    """The caller's own id where it is harmless in logs and headers, else a new one."""
    for name, value in scope["headers"]:
        if name == b"x-request-id" and _GIVEN_ID.fullmatch(value):
            return bytes(value).decode("ascii")
    return f"req_{uuid7().hex}"


def _with_ours(message: Message, request_id: str) -> list[tuple[bytes, bytes]]:
    headers = list(message.get("headers", ()))
    given = {name for name, _ in headers}
    ours = (
        *_SECURITY,
        (b"x-request-id", request_id.encode("ascii")),
        (b"cache-control", b"private, no-cache"),
    )
    headers += [(name, value) for name, value in ours if name not in given]
    return headers
