"""Counts requests as they pass: the `/metrics` address, and the middleware around the rest."""

from __future__ import annotations

import time
from typing import Any

import anyio
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from control_plane.telemetry.metrics import Metrics


class MeteredApp:
    """The outermost ASGI application: serves `/metrics`, measures everything else."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
        elif scope["path"] == "/metrics" and scope["method"] == "GET":
            await self._expose(send)
        else:
            await self._measure(scope, receive, send)

    async def _measure(self, scope: Scope, receive: Receive, send: Send) -> None:
        started = time.perf_counter()

        async def sending(message: Message) -> None:
            if message["type"] == "http.response.start":
                took = time.perf_counter() - started
                self._metrics.request(_route(scope), scope["method"], message["status"], took)
            await send(message)

        await self._app(scope, receive, sending)

    async def _expose(self, send: Send) -> None:
        body = await anyio.to_thread.run_sync(self._metrics.exposition)
        headers = [(b"content-type", b"text/plain; version=0.0.4; charset=utf-8")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})


def _route(scope: Scope) -> str:
    """The template of the matched route: bounded, whatever paths people ask for."""
    route: Any = scope.get("route")
    return getattr(route, "path", None) or "unmatched"
