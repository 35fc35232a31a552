"""Takes requests to fixed paths straight to their routes. The router looks for them one after the
other, and what it builds around each call costs more than what agents ask for all the time.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from control_plane.api.error_handlers import HANDLED, answer_error
from control_plane.api.route import Handler, Route


class Shortcut:
    """A layer just around the routes, which answers as they do."""

    def __init__(self, app: ASGIApp, routes: Iterable[Route]) -> None:
        self._app = app
        self._routes: Final[Mapping[tuple[str, str], tuple[Route, Handler]]] = {
            (method, route.path): (route, route.direct)
            for route in routes
            if route.direct is not None and "{" not in route.path
            for method in route.methods or ()
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        found = None
        if scope["type"] == "http":
            found = self._routes.get((scope["method"], scope["path"]))
        if found is None:
            await self._app(scope, receive, send)
            return
        route, handle = found
        scope["route"] = route
        request = Request(scope, receive, send)
        try:
            response = await handle(request)
        except HANDLED as error:
            response = await answer_error(request, error)
        await response(scope, receive, send)
