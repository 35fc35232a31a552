"""Routes of endpoints, the stable addresses of serving jobs."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query
from starlette.responses import Response

from control_plane.api.deps import Cursor, DepsParam, Limit, Ref, Viewer
from control_plane.api.replies import reply
from control_plane.api.route import Route
from control_plane.services.endpoints.read import get_endpoint, list_endpoints
from penstock.api.base import Page
from penstock.api.endpoints import Endpoint
from penstock.api.states import EndpointState

router = APIRouter(prefix="/api/v1", route_class=Route, tags=["endpoints"])


@router.get("/endpoints", operation_id="list_endpoints", response_model=Page[Endpoint])
def list_(
    caller: Viewer,
    deps: DepsParam,
    state: Annotated[EndpointState | None, Query()] = None,
    limit: Limit = 100,
    cursor: Cursor = None,
) -> Response:
    """Endpoints, the newest first, with their replicas."""
    return reply(list_endpoints(deps, caller, limit, cursor, state))


@router.get("/endpoints/{ref}", operation_id="get_endpoint", response_model=Endpoint)
def get(ref: Ref, caller: Viewer, deps: DepsParam) -> Response:
    """An endpoint by id or name."""
    return reply(get_endpoint(deps, caller, ref))
