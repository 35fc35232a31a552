"""Routes of events: pages of what happened, and streams of what happens."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Annotated, Final, Literal

from fastapi import APIRouter, Query
from starlette.requests import Request
from starlette.responses import Response

from control_plane.api.deps import (
    Cursor,
    DepsParam,
    GateParam,
    LastEventId,
    Limit,
    Ref,
    StreamsParam,
    Viewer,
)
from control_plane.api.replies import reply
from control_plane.api.route import Route
from control_plane.api.sse import Batch, Stream, frame, stream_response, wants_stream
from control_plane.hints.topics import EVENTS, job_topic
from control_plane.server.lanes import in_lane
from control_plane.services.deps import Caller
from control_plane.services.jobs.read import get_job
from control_plane.services.jobs.read_events import (
    EventBatch,
    events_after,
    job_events_after,
    list_events,
    list_job_events,
    newest_event,
)
from control_plane.services.logs.positions import bad_position
from penstock.api.base import Page
from penstock.api.jobs import Event
from penstock.api.states import Role
from penstock.json_types import Json

router = APIRouter(prefix="/api/v1", route_class=Route, tags=["events"])

_STREAM: Final[dict[int | str, Json]] = {
    200: {
        "content": {
            "text/event-stream": {
                "schema": {"type": "string"},
                "example": 'id: 7\nevent: event\ndata: {"type": "job.running"}\n\n',
            }
        }
    }
}


@router.get("/events", operation_id="list_events", response_model=Page[Event], responses=_STREAM)
async def all_events(
    request: Request,
    caller: Viewer,
    deps: DepsParam,
    gate: GateParam,
    streams: StreamsParam,
    after: Annotated[
        int | None, Query(ge=0, lt=2**63, description="a stream starts after this event's id")
    ] = None,
    sort: Literal["at", "-at"] = "-at",
    limit: Limit = 100,
    cursor: Cursor = None,
    last_event_id: LastEventId = None,
) -> Response:
    """Events of everything the caller may see. With `Accept: text/event-stream` those from now
    on, or from `Last-Event-ID` or `after` on, as they happen.
    """
    if not wants_stream(request):
        page = partial(list_events, deps, caller, limit, cursor, sort == "at")
        return reply(await in_lane(page))
    start = _number(last_event_id) if last_event_id else after
    if start is None:
        start = await in_lane(newest_event, deps)
    frames = EventFrames(partial(events_after, deps, caller), start, "id")
    return _follow(streams, request, gate, caller, frames, EVENTS)


@router.get(
    "/jobs/{ref}/events",
    operation_id="list_job_events",
    response_model=Page[Event],
    responses=_STREAM,
)
async def job_events(
    request: Request,
    ref: Ref,
    caller: Viewer,
    deps: DepsParam,
    gate: GateParam,
    streams: StreamsParam,
    limit: Limit = 100,
    cursor: Cursor = None,
    last_event_id: LastEventId = None,
) -> Response:
    """Events of one job from the first on. With `Accept: text/event-stream` they are followed
    until the job has ended; ids are the events' `seq`.
    """
    if not wants_stream(request):
        page = partial(list_job_events, deps, caller, ref, limit, cursor)
        return reply(await in_lane(page))
    start = _number(last_event_id) if last_event_id else 0
    job = await in_lane(get_job, deps, caller, ref)
    frames = EventFrames(partial(job_events_after, deps, job.id), start, "seq")
    return _follow(streams, request, gate, caller, frames, job_topic(job.id))


class EventFrames:
    """Turns new events into frames; remembers the number of the last one."""

    def __init__(
        self, read: Callable[[int], EventBatch], after: int, number: Literal["id", "seq"]
    ) -> None:
        self._read = read
        self._after = after
        self._number = number

    def pull(self) -> Batch:
        found = self._read(self._after)
        frames = []
        for event in found.events:
            self._after = event.id if self._number == "id" else event.seq
            frames.append(frame("event", event.model_dump_json(), self._after))
        last = frame("end", found.final.model_dump_json()) if found.final else None
        return Batch(frames, more=found.more, last=last)


def _follow(
    streams: StreamsParam,
    request: Request,
    gate: GateParam,
    caller: Caller,
    frames: EventFrames,
    topic: str,
) -> Response:
    recheck = partial(gate.caller, request, Role.VIEWER)
    return stream_response(streams, Stream(caller, (topic,), frames.pull, recheck))


def _number(word: str) -> int:
    if not word.isascii() or not word.isdigit() or len(word) > 18:
        raise bad_position(word)
    return int(word)
