"""Server-sent events: frames, and streams that wait for hints, poll as a fallback and never
run ahead of their reader.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Final

from starlette.requests import Request
from starlette.responses import StreamingResponse

from control_plane.api.streams import CLOSING, Streams, wait_for
from control_plane.errors import Denied, NotFound, Unauthenticated, Unavailable
from control_plane.server.lanes import in_streams
from control_plane.services.deps import Caller

MEDIA_TYPE: Final = "text/event-stream"
POLL_S: Final = 1.0
SOON_S: Final = 0.1
GATHER_S: Final = 0.01
HEARTBEAT_S: Final = 15.0
RECHECK_S: Final = 5.0
_RETRY_MS: Final = 1000
_HEADERS: Final = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}


@dataclass(frozen=True, slots=True)
class Batch:
    """What one pull brought: frames, whether to pull again at once or soon, and the last frame."""

    frames: Sequence[bytes]
    more: bool = False
    soon: bool = False
    last: bytes | None = None


@dataclass(frozen=True, slots=True)
class Stream:
    """One stream to be sent. `pull` runs in a thread; `recheck` raises once the caller is out.
    What comes within `gather_s` of a hint goes together.
    """

    owner: Caller
    topics: tuple[str, ...]
    pull: Callable[[], Batch]
    recheck: Callable[[], Awaitable[object]]
    gather_s: float = GATHER_S


def wants_stream(request: Request) -> bool:
    """Whether the caller asks for events rather than for a document."""
    return MEDIA_TYPE in request.headers.get("accept", "")


def frame(name: str, data: str, id_: str | int | None = None) -> bytes:
    """One event. `data` is JSON on one line."""
    head = "" if id_ is None else f"id: {id_}\n"
    return f"{head}event: {name}\ndata: {data}\n\n".encode()


def stream_response(streams: Streams, stream: Stream) -> StreamingResponse:
    """Raises QuotaExceeded when too many are open."""
    streams.check_room(stream.owner.token_id)
    return StreamingResponse(_frames(streams, stream), 200, _HEADERS, MEDIA_TYPE)


async def _frames(streams: Streams, stream: Stream) -> AsyncIterator[bytes]:
    with (
        streams.opened(stream.owner.token_id),
        streams.hub.listen_async(CLOSING, *stream.topics) as woken,
    ):
        yield f"retry: {_RETRY_MS}\n\n".encode()
        async for data in _turns(streams, stream, woken):
            yield data


async def _turns(streams: Streams, stream: Stream, woken: asyncio.Event) -> AsyncIterator[bytes]:
    clock = asyncio.get_running_loop().time
    sent_at = checked_at = clock()
    while not streams.closing:
        woken.clear()
        try:
            batch = await in_streams(stream.pull)
        except (
            NotFound,
            Unavailable,
        ):  # gone, or database or storage is away: who asks again learns
            return
        if batch.frames:
            yield b"".join(batch.frames)
            sent_at = clock()
        if batch.last is not None:
            yield batch.last
            return
        if clock() - checked_at > RECHECK_S:
            if not await _is_still_in(stream):
                return
            checked_at = clock()
        if batch.more:
            continue
        if clock() - sent_at > HEARTBEAT_S:
            yield b": still here\n\n"
            sent_at = clock()
        await wait_for(woken, SOON_S if batch.soon else POLL_S)
        if woken.is_set():
            await asyncio.sleep(stream.gather_s)


async def _is_still_in(stream: Stream) -> bool:
    """A token that is revoked or expires ends its streams too."""
    try:
        await stream.recheck()
    except (Unauthenticated, Denied):
        return False
    return True
