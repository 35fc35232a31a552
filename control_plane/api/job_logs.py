"""Routes of a job's logs: text for people, a stream of lines for those who follow."""

from __future__ import annotations

import base64
import json
import re
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
from control_plane.services.logs.lines import Line
from control_plane.services.logs.positions import Spot, entries, seal, spot_of
from control_plane.services.logs.read import Ask, LogReader, Piece, number_of, read_logs
from penstock.api.states import Role
from penstock.json_types import Json

router = APIRouter(prefix="/api/v1", route_class=Route, tags=["jobs"])

MAX_LINES: Final = 100_000
TEXT: Final = "text/plain; charset=utf-8"
_REDRAWN: Final = re.compile(rb"\r(?![\r\n]|\Z)")  # a progress bar's line goes on from its start
_BOTH: Final[dict[int | str, Json]] = {
    200: {
        "content": {
            "text/plain": {"schema": {"type": "string"}},
            "text/event-stream": {
                "schema": {"type": "string"},
                "example": 'id: MTswLjEuMD02LA\nevent: line\ndata: {"text": "hello"}\n\n',
            },
        }
    }
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
    followed = wants_stream(request)
    after = last_event_id or None if followed else None
    ask = Ask(rank, attempt, tail, head, offset, followed, after)
    reader = await in_lane(read_logs, deps, caller, ref, ask)
    if not followed:
        text = TextFrames(reader)
        first = await in_streams(text.pull)  # what fails at once is answered as an error
        return StreamingResponse(_blocks(streams, text, first), media_type=TEXT)
    return stream_response(
        streams,
        Stream(
            owner=caller,
            topics=(log_topic(reader.job_id), job_topic(reader.job_id)),
            pull=LineFrames(reader).pull,
            recheck=partial(gate.caller, request, Role.VIEWER),
        ),
    )


async def _blocks(
    streams: Streams, text: TextFrames, block: tuple[bytes, bool]
) -> AsyncIterator[bytes]:
    """An error cuts the answer off: what came is then seen not to be whole."""
    with streams.hub.listen_async(CLOSING, log_topic(text.reader.job_id)) as woken:
        while True:
            data, done = block
            if data:
                yield data
            if done:
                return
            if streams.closing and not data:
                raise Unavailable("stopping")
            if not data:
                await wait_for(woken, SOON_S)
            woken.clear()
            block = await in_streams(text.pull)


class TextFrames:
    """Turns what a reader gives into text, byte by byte as one replica wrote it. Of several, each
    line, and one that is drawn over itself, stands behind `[rank] ` or `[attempt.rank] `.
    """

    def __init__(self, reader: LogReader) -> None:
        self.reader = reader
        logs = reader.at_start
        tries = len({spot.attempt for spot in logs}) > 1
        self._labels = {
            spot: f"[{spot.attempt}.{number_of(log)}] " if tries else f"[{number_of(log)}] "
            for spot, log in logs.items()
            if len(logs) > 1
        }
        self._open: Spot | None = None
        """Whose labelled line has not ended."""
        self._returned = False
        """That line will go on from its start."""

    def pull(self) -> tuple[bytes, bool]:
        """The next text, and whether that is all."""
        found = self.reader.pull()
        data = b"".join(self._text(piece) for piece in found.pieces if piece.lines)
        return data + (b"\n" if found.done and self._open else b""), found.done

    def _text(self, piece: Piece) -> bytes:
        spot = spot_of(piece.log)
        data = b"".join(line.written for line in piece.lines)
        label = self._labels.get(spot, "").encode()
        if not label:
            return data
        before, self._open = self._open, None if piece.lines[-1].whole else spot
        inner = data if self._open else data[:-1]
        goes_on = before == spot and not (self._returned and inner[:1] not in (b"\r", b"\n", b""))
        self._returned = bool(self._open) and data.endswith(b"\r")
        inner = _REDRAWN.sub(b"\r" + label, inner).replace(b"\n", b"\n" + label)
        start = b"\n" if before not in (None, spot) else b""
        return start + (b"" if goes_on else label) + inner + (b"" if self._open else b"\n")


class LineFrames:
    """Turns what a reader gives into frames. The id of a line's frame says where every replica
    stands once that line was read, so that a cut stream goes on exactly there.
    """

    def __init__(self, reader: LogReader) -> None:
        self._reader = reader
        self._sent = dict(reader.offsets)

    def pull(self) -> Batch:
        found = self._reader.pull()
        frames = [one for piece in found.pieces for one in self._frames(piece)]
        last = frame("end", found.final.model_dump_json()) if found.final else None
        return Batch(frames, more=bool(found.pieces), soon=found.waits_for_rest, last=last)

    def _frames(self, piece: Piece) -> Iterator[bytes]:
        spot = spot_of(piece.log)
        stood = self._sent.pop(spot, 0)
        others = entries(self._sent)
        known = json.dumps(
            {
                "replica": piece.log.replica_id,
                "rank": number_of(piece.log),
                "gang": spot.gang,
                "attempt": spot.attempt,
            }
        ).removesuffix("}")
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
