"""Routes of chips and of their types."""

from __future__ import annotations

from fastapi import APIRouter
from starlette.responses import Response

from control_plane.api.deps import Cursor, DepsParam, Limit, Ref, Retired, Viewer, Word
from control_plane.api.replies import reply
from control_plane.api.route import Route
from control_plane.services.nodes.read import get_chip, list_chip_types, list_chips
from penstock.api.base import Page
from penstock.api.chips import Chip, ChipType
from penstock.api.ids import ChipId

router = APIRouter(prefix="/api/v1", route_class=Route, tags=["chips"])


@router.get("/chips", operation_id="list_chips", response_model=Page[Chip])
def list_(
    caller: Viewer,
    deps: DepsParam,
    node: Word = None,
    type: Word = None,
    vendor: Word = None,
    retired: Retired = False,
    limit: Limit = 100,
    cursor: Cursor = None,
) -> Response:
    """Chips that nodes report now, with what is free of each. Those of a retired node are shown
    where `retired` asks for them, or `node` names it.
    """
    found = list_chips(
        deps, caller, limit, cursor, node=node, chip_type=type, vendor=vendor, retired=retired
    )
    return reply(found)


@router.get("/chips/{ref}", operation_id="get_chip", response_model=Chip)
def get(ref: Ref, caller: Viewer, deps: DepsParam) -> Response:
    """A chip by its id."""
    return reply(get_chip(deps, caller, ChipId(ref)))


@router.get("/chip-types", operation_id="list_chip_types", response_model=Page[ChipType])
def types(_caller: Viewer, deps: DepsParam) -> Response:
    """The chip types of the pool, all on one page."""
    return reply(list_chip_types(deps))
