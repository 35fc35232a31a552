"""Routes of the records of scheduling cycles."""

from __future__ import annotations

from fastapi import APIRouter
from starlette.responses import Response

from control_plane.api.deps import Admin, Cursor, DepsParam, Limit, Ref
from control_plane.api.replies import reply
from control_plane.api.route import Route
from control_plane.services.scheduling.read_cycles import get_cycle, list_cycles
from penstock.api.base import Page
from penstock.api.ids import CycleId
from penstock.api.plans import Cycle

router = APIRouter(prefix="/api/v1", route_class=Route, tags=["cycles"])


@router.get("/cycles", operation_id="list_cycles", response_model=Page[Cycle])
def list_(caller: Admin, deps: DepsParam, limit: Limit = 100, cursor: Cursor = None) -> Response:
    """Cycles, the newest first: what triggered each, what it saw, what it decided."""
    return reply(list_cycles(deps, caller, limit, cursor))


@router.get("/cycles/{ref}", operation_id="get_cycle", response_model=Cycle)
def get(ref: Ref, caller: Admin, deps: DepsParam) -> Response:
    """A cycle by its id."""
    return reply(get_cycle(deps, caller, CycleId(ref)))
