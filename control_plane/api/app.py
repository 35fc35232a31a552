"""Builds the HTTP application out of the routers. `main.py` adds what belongs to other parts."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from functools import partial
from typing import Final

from fastapi import APIRouter, FastAPI
from fastapi.routing import APIRoute

from control_plane.api import (
    accounts,
    agents,
    changes,
    chips,
    cycles,
    endpoints,
    health,
    job_events,
    job_logs,
    jobs,
    nodes,
    queues,
    replicas,
    speeds,
)
from control_plane.api.address import Listening
from control_plane.api.error_handlers import add_error_handlers
from control_plane.api.gate import Gate
from control_plane.api.heartbeats import Heartbeats
from control_plane.api.idle_nodes import IdleNodes
from control_plane.api.middleware import RequestFrame
from control_plane.api.openapi import openapi_document
from control_plane.api.request_bounds import RequestBounds
from control_plane.api.route import Route
from control_plane.api.shortcut import Shortcut
from control_plane.api.streams import Streams
from control_plane.hints.hub import Hub
from control_plane.server.checks import Checks
from control_plane.server.lanes import Lanes
from control_plane.services.changes.feed import Feed
from control_plane.services.deps import Deps
from penstock import __version__

LOOPBACK: Final = Listening()
ROUTERS: Final[tuple[APIRouter, ...]] = (
    agents.router,  # first, for the router tries one after the other, and most requests are these
    health.router,
    jobs.router,
    job_logs.router,
    job_events.router,
    changes.router,
    replicas.router,
    nodes.router,
    chips.router,
    speeds.router,
    queues.router,
    endpoints.router,
    cycles.router,
    accounts.router,
)


def build_api(
    deps: Deps,
    hub: Hub,
    *,
    auth: bool = True,
    listening: Listening = LOOPBACK,
    lifespan: Callable[[FastAPI], AbstractAsyncContextManager[None]] | None = None,
) -> FastAPI:
    """The API over these collaborators; starts nothing.

    `app.state.streams.close()` ends streams and long polls, so that a server can stop at once.
    """
    app = FastAPI(
        title="Penstock",
        version=__version__,
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        openapi_url="/openapi.json",
        redirect_slashes=False,
    )
    app.state.deps = deps
    app.state.listening = listening
    app.state.gate = Gate(deps, hub, auth=auth)
    app.state.streams = Streams(hub)
    app.state.feed = Feed(deps)
    app.state.checks = Checks()
    app.state.lanes = Lanes()
    app.state.idle_nodes = IdleNodes()
    hub.follow(app.state.idle_nodes.changed)
    app.state.heartbeats = Heartbeats(deps, app.state.lanes)
    for router in ROUTERS:
        app.include_router(router)
    app.add_middleware(Shortcut, routes=[it for it in api_routes() if isinstance(it, Route)])
    app.add_middleware(RequestBounds)
    app.add_middleware(RequestFrame)
    add_error_handlers(app)
    app.openapi = partial(openapi_document, app, api_routes())  # type: ignore[method-assign]
    return app


def api_routes() -> list[APIRoute]:
    """Every route of the API, with its whole path."""
    return [one for router in ROUTERS for one in router.routes if isinstance(one, APIRoute)]
