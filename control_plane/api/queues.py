"""Routes of queues."""

from __future__ import annotations

from fastapi import APIRouter
from starlette.responses import Response

from control_plane.api.deps import (
    Admin,
    Cursor,
    DepsParam,
    IfMatch,
    Limit,
    NewName,
    Ref,
    Viewer,
    version_of,
)
from control_plane.api.replies import reply
from control_plane.api.route import Route
from control_plane.services.accounts.put_queue import put_queue
from control_plane.services.accounts.read_queues import get_queue, list_queues
from penstock.api.base import Page
from penstock.api.queues import Queue, QueueLimits

router = APIRouter(prefix="/api/v1", route_class=Route, tags=["queues"])


@router.get("/queues", operation_id="list_queues", response_model=Page[Queue])
def list_(_caller: Viewer, deps: DepsParam, limit: Limit = 100, cursor: Cursor = None) -> Response:
    """Queues in order of their names, with what their jobs hold."""
    return reply(list_queues(deps, limit, cursor))


@router.get("/queues/{ref}", operation_id="get_queue", response_model=Queue)
def get(ref: Ref, _caller: Viewer, deps: DepsParam) -> Response:
    """A queue by id or name."""
    queue = get_queue(deps, ref)
    return reply(queue, version=queue.etag)


@router.put(
    "/queues/{ref}",
    operation_id="put_queue",
    response_model=Queue,
    responses={201: {"model": Queue, "description": "the queue is new"}},
)
def put(
    ref: NewName, body: QueueLimits, caller: Admin, deps: DepsParam, if_match: IfMatch = None
) -> Response:
    """Makes the queue, or changes the most chips that its jobs may hold."""
    created = put_queue(deps, caller, ref, body, version_of(if_match))
    queue = get_queue(deps, ref)
    where = f"/api/v1/queues/{ref}" if created else None
    return reply(queue, 201 if created else 200, version=queue.etag, location=where)
