"""Routes about the service itself: alive, ready, who is asking."""

from __future__ import annotations

from fastapi import APIRouter, Depends
from starlette.responses import Response

from control_plane.api.deps import D, Viewer, public
from control_plane.api.replies import plain_reply, reply
from control_plane.api.route import Route
from control_plane.services.read_health import readiness
from penstock import __version__
from penstock.api.health import Alive, Readiness
from penstock.api.tokens import Identity

router = APIRouter(route_class=Route, tags=["service"])


@router.get(
    "/healthz", operation_id="healthz", response_model=Alive, dependencies=[Depends(public)]
)
async def healthz() -> Response:
    """The process answers."""
    return plain_reply(Alive(version=__version__))


@router.get(
    "/readyz", operation_id="readyz", response_model=Readiness, dependencies=[Depends(public)]
)
def readyz(deps: D) -> Response:
    """Database, migrations and scheduler are well; else a 503 that names what is not."""
    return plain_reply(readiness(deps))


@router.get("/api/v1/whoami", operation_id="whoami", response_model=Identity)
async def whoami(caller: Viewer) -> Response:
    """Who the token stands for."""
    return reply(Identity(name=caller.name, role=caller.role, project=caller.project))
