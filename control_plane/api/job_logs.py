"""Routes of a job's logs: text for people, a stream of lines for those who follow."""

from __future__ import annotations

import base64
import json
from collections.abc import AsyncIterator, Iterator
from functools import partial
from typing import Annotated, Final

from fastapi import APIRouter, Query
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from control_plane.api.deps import DepsParam, GateParam, LastEventId, Ref, StreamsParam, Viewer
from control_plane.api.route import Route
from control_plane.api.sse import SOON_S, Batch, Stream, frame, stream_response, wants_stream
from control_plane.api.streams import CLOSING, Streams, wait_for
from control_plane.errors import Unavailable
from control_plane.hints.topics import job_topic, log_topic
from control_plane.server.lanes import in_lane, in_streams
from control_plane.services.logs.follow import (
    LogFollower,
    Piece,
    Which,
    number_of,
    spot_of,
)
from control_plane.services.logs.lines import Line
from control_plane.services.logs.positions import entries, seal
from control_plane.services.logs.read import Ask, follow_logs, log_text
from control_plane.services.logs.text import Block, LogText, Part
from penstock.api.states import Role
from penstock.json_types import Json

router = APIRouter(prefix="/api/v1", route_class=Route, tags=["jobs"])

MAX_LINES: Final = 100_000
TEXT: Final = "text/plain; charset=utf-8"
_BOTH: Final[dict[int | str, Json]] = {
    200: {
        "content": {
            "text/plain": {"schema": {"type": "string"}},
            "text/event-stream": {
                "schema": {"type": "string"},
                "example": 'id: MTswLjEuMD02LA\nevent: line\ndata: {"text": "hello"}\n\n',
            },
        },
    },
}


@router.get(
    "/jobs/{ref}/logs", operation_id="get_job_logs", response_class=Response, responses=_BOTH
)
async def get_job_logs(
    request: Request,
    ref: Ref,
    caller: Viewer,
    deps: DepsParam,
    gate: GateParam,
    streams: StreamsParam,
    tail: Annotated[
        int | None, Query(ge=0, le=MAX_LINES, description="only the last lines, per replica")
    ] = None,
    head: Annotated[
        int | None,
        Query(ge=0, le=MAX_LINES, description="only the first lines, per replica; text only"),
    ] = None,
    offset: Annotated[
        int | None, Query(ge=0, le=10**15, description="from this byte of each replica's output on")
    ] = None,
    rank: Annotated[int | None, Query(ge=0, le=10**9)] = None,
    attempt: Annotated[int | None, Query(ge=0, le=10**9)] = None,
    last_event_id: LastEventId = None,
) -> Response:
    """The output of all replicas over all attempts. With `Accept: text/event-stream` it is
    followed: events `line` with a LogLine each, then `end` with the job's final state.
    """
    ask = Ask(Which(rank, attempt), Part(tail, head, offset), last_event_id or None)
    if not wants_stream(request):
        text = await in_lane(log_text, deps, caller, ref, ask)
        first = await in_streams(text.pull)  # what fails at once is answered as an error
        return StreamingResponse(_blocks(streams, text, first), media_type=TEXT)
    follower = await in_lane(follow_logs, deps, caller, ref, ask)
    return stream_response(streams, Stream(
        owner=caller,
        topics=(log_topic(follower.job_id), job_topic(follower.job_id)),
        pull=LineFrames(follower).pull,
        recheck=partial(gate.caller, request, Role.VIEWER),
    ))  # fmt: skip


async def _blocks(streams: Streams, text: LogText, block: Block) -> AsyncIterator[bytes]:
    """An error cuts the answer off: what came is then seen not to be whole."""
    with streams.hub.listen_async(CLOSING, log_topic(text.job_id)) as woken:
        while not block.done:
            if block.data:
                yield block.data
            elif streams.closing:
                raise Unavailable("the server is stopping", code="stopping")
            else:
                await wait_for(woken, SOON_S)
            woken.clear()
            block = await in_streams(text.pull)


class LineFrames:
    """Turns what a follower gives into frames. The id of a line's frame says where every replica
    stands once that line was read, so that a cut stream goes on exactly there.
    """

    def __init__(self, follower: LogFollower) -> None:
        self._follower = follower
        self._sent = dict(follower.offsets)

    def pull(self) -> Batch:
        found = self._follower.pull()
        frames = [one for piece in found.pieces for one in self._frames(piece)]
        last = frame("end", found.final.model_dump_json()) if found.final else None
        return Batch(frames, more=found.more, soon=found.waits_for_rest, last=last)

    def _frames(self, piece: Piece) -> Iterator[bytes]:
        spot = spot_of(piece.log)
        stood = self._sent.pop(spot, 0)
        others = entries(self._sent)
        known = json.dumps(
            {
                "replica": piece.log.replica_id, "rank": number_of(piece.log),
                "gang": spot.gang, "attempt": spot.attempt,
            }
        ).removesuffix("}")  # fmt: skip
        for line in piece.lines:
            # What we say ourselves at a log's end has no place in it, and thus no id.
            id_ = seal(others + entries({spot: line.end})) if line.end > stood else None
            stood = self._sent[spot] = line.end
            yield frame("line", f"{known}, {_content(line)}}}", id_)


def _content(line: Line) -> str:
    """The fields of a LogLine that tell its bytes, those with a default only where they differ."""
    partly = "" if line.whole else ', "partial": true'
    try:
        return f'"text": {json.dumps(line.data.decode())}{partly}'
    except UnicodeDecodeError:
        raw = base64.b64encode(line.data).decode()
        return f'"text": {json.dumps(line.text)}{partly}, "raw": "{raw}"'
