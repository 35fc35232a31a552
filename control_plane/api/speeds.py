"""Routes of the throughput model."""

from __future__ import annotations

from fastapi import APIRouter
from starlette.responses import Response

from control_plane.api.deps import Cursor, DepsParam, Limit, Viewer, Word
from control_plane.api.replies import reply
from control_plane.api.route import Route
from control_plane.services.usage.speeds import list_speeds
from penstock.api.base import Page
from penstock.api.chips import Speed

router = APIRouter(prefix="/api/v1", route_class=Route, tags=["speeds"])


@router.get("/speeds", operation_id="list_speeds", response_model=Page[Speed])
def list_(
    _caller: Viewer,
    deps: DepsParam,
    chip_type: Word = None,
    limit: Limit = 100,
    cursor: Cursor = None,
) -> Response:
    """Measured speeds of one whole chip by class of work and chip type, each with its origin."""
    return reply(list_speeds(deps, limit, cursor, chip_type))
