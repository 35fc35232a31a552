"""The route of the change feed: one stream of what changed, for what the caller may see."""

from __future__ import annotations

from functools import partial

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from control_plane.api.deps import FeedParam, GateParam, LastEventId, StreamsParam, Viewer
from control_plane.api.route import Route
from control_plane.api.sse import MEDIA_TYPE, Batch, Stream, frame, stream_response
from control_plane.hints.topics import EVENTS
from control_plane.services.changes.feed import READ_S, Feed, Follower
from penstock.api.changes import Changes
from penstock.api.states import Role

router = APIRouter(prefix="/api/v1", route_class=Route, tags=["changes"])


@router.get(
    "/changes",
    operation_id="follow_changes",
    responses={200: {"model": Changes, "content": {MEDIA_TYPE: {}}}},
    response_class=Response,
)
async def changes(
    request: Request,
    caller: Viewer,
    gate: GateParam,
    streams: StreamsParam,
    feed: FeedParam,
    last_event_id: LastEventId = None,
) -> Response:
    """What changes, from now on or from `Last-Event-ID` on, at most ten messages a second. The
    first message, and any with `reset`, says: list anew.
    """
    pull = partial(_pull, feed, Follower.resumed(caller, last_event_id))
    recheck = partial(gate.caller, request, Role.VIEWER)
    return stream_response(streams, Stream(caller, (EVENTS,), pull, recheck, gather_s=READ_S))


def _pull(feed: Feed, follower: Follower) -> Batch:
    changes = feed.news(follower)
    data = changes and changes.model_dump_json(exclude_none=True)
    return Batch([frame("changes", data, follower.cursor)] if data else [])
