"""Refuses requests with more address or headers than any honest one has, before they are parsed.

What a protocol server reads at all is bounded in `control_plane/server/connections.py`.
"""

from __future__ import annotations

from typing import Final

from starlette.types import ASGIApp, Receive, Scope, Send

from control_plane.api.failures import HeadersTooLarge, UriTooLong
from control_plane.api.problems import problem_response
from control_plane.errors import Invalid, PlatformError

MAX_URI_BYTES: Final = 8 * 1024
MAX_PARAMETERS: Final = 100
MAX_HEADERS: Final = 100
MAX_HEADERS_BYTES: Final = 32 * 1024


class RequestBounds:
    """A layer before the routes."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        error = _excess(scope) if scope["type"] == "http" else None
        if error is None:
            await self._app(scope, receive, send)
            return
        request_id = str(scope.get("state", {}).get("request_id", ""))
        await problem_response(error, scope["path"], request_id)(scope, receive, send)


def _excess(scope: Scope) -> PlatformError | None:
    query: bytes = scope["query_string"]
    if query.count(b"&") >= MAX_PARAMETERS or query.count(b";") >= MAX_PARAMETERS:
        return Invalid("too_many_parameters", most=MAX_PARAMETERS)
    if len(query) + len(scope.get("raw_path") or scope["path"]) > MAX_URI_BYTES:
        return UriTooLong("uri_too_long", most=MAX_URI_BYTES)
    headers: list[tuple[bytes, bytes]] = scope["headers"]
    if len(headers) > MAX_HEADERS:
        return HeadersTooLarge("too_many_headers", most=MAX_HEADERS)
    if sum(len(name) + len(value) for name, value in headers) > MAX_HEADERS_BYTES:
        return HeadersTooLarge("headers_too_large", most=MAX_HEADERS_BYTES)
    return None
