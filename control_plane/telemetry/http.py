"""Counts and times requests as they pass. What is counted is declared in `metrics.py`."""

from __future__ import annotations

import time
from collections.abc import Callable

from starlette.types import ASGIApp, Message, Receive, Scope, Send

Observe = Callable[[str, str, int, float], None]
"""(route, method, status, seconds until the answer began) of one request."""


class RequestMeter:
    """A layer around the application: one observation per answered request."""

    def __init__(self, app: ASGIApp, observe: Observe) -> None:
        self._app = app
        self._observe = observe

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = time.perf_counter()

        async def metered(message: Message) -> None:
            if message["type"] == "http.response.start":
                took_s = time.perf_counter() - started
                self._observe(_route(scope), scope["method"], message["status"], took_s)
            await send(message)

        await self._app(scope, receive, metered)


def _route(scope: Scope) -> str:
    """The template of the matched route: bounded, whatever paths people ask for."""
    route: object = scope.get("route")
    return getattr(route, "path", None) or "unmatched"
