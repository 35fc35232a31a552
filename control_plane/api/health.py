"""Routes about the service itself: what it is, alive, ready, who is asking."""

from __future__ import annotations

from typing import Final

from fastapi import APIRouter, Depends
from starlette.responses import Response

from control_plane.api.deps import DepsParam, Viewer, public
from control_plane.api.replies import plain_reply, reply
from control_plane.api.route import Route
from control_plane.services.health.read import readiness
from penstock import __version__
from penstock.api.health import About, Alive, Readiness
from penstock.api.tokens import Identity

router = APIRouter(route_class=Route, tags=["service"])

ABOUT: Final = About(
    version=__version__,
    docs="docs/guides in Penstock's source; `penstock --help` describes the command",
    links={
        "api": "/api/v1",
        "openapi": "/openapi.json",
        "openai": "/v1/models",
        "metrics": "/metrics",
        "health": "/healthz",
        "ready": "/readyz",
    },
)


@router.get("/", operation_id="about", response_model=About, dependencies=[Depends(public)])
async def about() -> Response:
    """What answers here. A dashboard takes this place where one is installed."""
    return plain_reply(ABOUT)


@router.get(
    "/api/v1", operation_id="about_api", response_model=About, dependencies=[Depends(public)]
)
async def about_api() -> Response:
    """The same for programs that begin at the API; `links.openapi` lists every path below it."""
    return plain_reply(ABOUT)


@router.get(
    "/healthz", operation_id="healthz", response_model=Alive, dependencies=[Depends(public)]
)
async def healthz() -> Response:
    """The process answers."""
    return plain_reply(Alive(version=__version__))


@router.get(
    "/readyz", operation_id="readyz", response_model=Readiness, dependencies=[Depends(public)]
)
def readyz(deps: DepsParam) -> Response:
    """Database, migrations and scheduler are well; else a 503 that names what is not. A storage
    that takes no writes makes the answer `degraded`.
    """
    return plain_reply(readiness(deps))


@router.get("/api/v1/whoami", operation_id="whoami", response_model=Identity)
async def whoami(caller: Viewer) -> Response:
    """Who the token stands for."""
    return reply(Identity(name=caller.name, role=caller.role, project=caller.project))
