"""The replica's HTTP routes: parse, ask the service, render. No torch, no engine."""

from __future__ import annotations

import asyncio
import json
import secrets
import time
import uuid
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Final

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from penstock.bounded import TooLong, read_bounded
from workloads.engine.api.errors import (
    ApiError,
    Document,
    client_gone,
    internal,
    not_offered,
    unknown_model,
)
from workloads.engine.api.replies import ReplyHead
from workloads.engine.api.requests import LIMITS, ChatRequest, CompletionRequest, parse_request
from workloads.engine.api.service import (
    Served,
    Service,
    State,
    Stream,
    prompt_tokens,
    sampling_params,
)
from workloads.engine.metrics import CONTENT_TYPE, EngineMetrics
from workloads.engine.sequence import FinishReason, Piece, Sequence

MOST_BODY_BYTES: Final = LIMITS.num_bytes
COMPLETIONS: Final = "/v1/completions"
CHAT: Final = "/v1/chat/completions"
LONG_PROMPT_BYTES: Final = 16 * 2**10
"""Bodies beyond this are tokenised off the event loop."""


@dataclass(frozen=True, slots=True)
class ChipIdentity:
    """The chip that answers, as shown to clients."""

    chip_type: str
    emulated: bool
    stands_for: str | None


def build_app(service: Service, metrics: EngineMetrics, chip: ChipIdentity) -> Starlette:
    """The ASGI application of one replica."""
    api = Api(service, metrics, chip)
    return Starlette(
        routes=[
            Route("/health", api.health),
            Route("/metrics", api.metrics_page),
            Route("/v1/models", api.models),
            Route("/v1/models/{name:path}", api.model),
            Route(COMPLETIONS, api.completions, methods=["POST"]),
            Route(CHAT, api.chat, methods=["POST"]),
        ],
        exception_handlers={
            ApiError: api.on_api_error,
            HTTPException: api.on_http_error,
            Exception: api.on_crash,
        },
    )


_CODES: Final[Mapping[int, str]] = {404: "unknown_url", 405: "method_not_allowed"}


class Api:
    """The handlers, around the service that they ask."""

    def __init__(self, service: Service, metrics: EngineMetrics, chip: ChipIdentity) -> None:
        self._service = service
        self._metrics = metrics
        self._chip = chip
        self._started = int(time.time())

    async def health(self, request: Request) -> Response:
        state = self._service.state
        return self._json({"status": state.value}, 200 if state is State.READY else 503)

    async def metrics_page(self, request: Request) -> Response:
        return Response(self._metrics.render(), headers={"content-type": CONTENT_TYPE})

    async def models(self, request: Request) -> Response:
        return self._json({"object": "list", "data": [self._card(self._service.served)]})

    async def model(self, request: Request) -> Response:
        self._check_model(request.path_params["name"])
        return self._json(self._card(self._service.served))

    async def completions(self, request: Request) -> Response:
        self._service.check_ready()
        body = await _read_body(request)
        return await self._answer(request, parse_request(body, CompletionRequest), len(body))

    async def chat(self, request: Request) -> Response:
        self._service.check_ready()
        body = await _read_body(request)
        return await self._answer(request, parse_request(body, ChatRequest), len(body))

    async def on_api_error(self, request: Request, error: Exception) -> Response:
        assert isinstance(error, ApiError)
        return self._json(error.document(), error.status, error.headers)

    async def on_http_error(self, request: Request, error: Exception) -> Response:
        """Unknown paths and methods, in the same shape as everything else."""
        assert isinstance(error, HTTPException)
        status, method, path = error.status_code, request.method, request.url.path
        if status == 404 and method == "POST":
            found = not_offered(path, (CHAT, COMPLETIONS))
        else:
            found = ApiError(status, f"{error.detail}: {method} {path}", code=_CODES.get(status))
        return self._json(found.document(), error.status_code, error.headers or {})

    async def on_crash(self, request: Request, error: Exception) -> Response:
        """A mistake of ours; the server logs the traceback."""
        return self._json(internal().document(), 500)

    async def _answer(
        self, request: Request, wanted: CompletionRequest | ChatRequest, num_bytes: int
    ) -> Response:
        self._check_model(wanted.model)
        served, is_chat = self._service.served, isinstance(wanted, ChatRequest)
        prompt = await _tokenised(wanted, served, num_bytes)
        params = sampling_params(wanted, len(prompt), served, secrets.randbits(63))
        name = f"{'chatcmpl' if is_chat else 'cmpl'}-{uuid.uuid4().hex}"
        sequence = Sequence(name, tuple(prompt), params, time.monotonic())
        head = self._head(sequence, served, is_chat)
        stream = self._service.open(sequence)
        if wanted.stream:
            events = _events(stream, head, wanted.stream_options.include_usage)
            return _EventStream(stream, events, self._headers())
        return self._json(head.whole(await _collected(request, stream)))

    def _head(self, sequence: Sequence, served: Served, is_chat: bool) -> ReplyHead:
        return ReplyHead(
            id=sequence.id,
            created=int(time.time()),
            model=self._service.work.model_name,
            fingerprint=served.manifest_sha256[:16] if served.manifest_sha256 else None,
            is_chat=is_chat,
            num_prompt=len(sequence.prompt),
            token_text=served.text.token_text,
            token_bytes=served.text.token_bytes,
            logprobs=sequence.params.num_logprobs is not None,
        )

    def _check_model(self, name: str) -> None:
        if name != self._service.work.model_name:
            raise unknown_model(name, self._service.work.model_name)

    def _card(self, served: Served) -> Document:
        """The model with what OpenAI lacks: which checkpoint this is and where it runs."""
        return {
            "id": self._service.work.model_name,
            "object": "model",
            "created": self._started,
            "owned_by": "penstock",
            "max_model_len": served.context,
            "penstock": {
                "manifest_sha256": served.manifest_sha256,
                "chip_type": self._chip.chip_type,
                "emulated": self._chip.emulated,
                "stands_for": self._chip.stands_for,
            },
        }

    def _json(
        self, document: object, status: int = 200, headers: Mapping[str, str] | None = None
    ) -> Response:
        return Response(
            json.dumps(document),
            status,
            headers={**self._headers(), **(headers or {})},
            media_type="application/json",
        )

    def _headers(self) -> dict[str, str]:
        return {"x-penstock-chip-type": self._chip.chip_type}


class _EventStream(StreamingResponse):
    """Closes its stream however it ends, even where the client left before the first event."""

    def __init__(
        self, stream: Stream, events: AsyncIterator[str], headers: Mapping[str, str]
    ) -> None:
        headers = {**headers, "cache-control": "no-cache"}
        super().__init__(events, headers=headers, media_type="text/event-stream")
        self._stream = stream

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._stream.close()


async def _read_body(request: Request) -> bytes:
    """The body, never more than allowed in memory; raises ApiError."""
    try:
        return await read_bounded(request.stream(), MOST_BODY_BYTES)
    except TooLong as error:
        message = f"The body is longer than {MOST_BODY_BYTES} bytes."
        raise ApiError(413, message, code="body_too_large") from error
    except ClientDisconnect as error:
        raise client_gone() from error


async def _tokenised(
    wanted: CompletionRequest | ChatRequest, served: Served, num_bytes: int
) -> list[int]:
    if num_bytes <= LONG_PROMPT_BYTES:
        return prompt_tokens(wanted, served)
    return await asyncio.to_thread(prompt_tokens, wanted, served)


async def _collected(request: Request, stream: Stream) -> list[Piece]:
    """All pieces; gives up when the client leaves. Raises ApiError if the engine failed."""

    async def read() -> list[Piece]:
        return [piece async for piece in stream.pieces()]

    reading = asyncio.ensure_future(read())
    disconnecting = asyncio.ensure_future(_disconnected(request))
    try:
        await asyncio.wait({reading, disconnecting}, return_when=asyncio.FIRST_COMPLETED)
        if not reading.done():
            raise client_gone()
        pieces = reading.result()
    finally:
        reading.cancel()
        disconnecting.cancel()
        stream.close()
    if pieces[-1].finish is FinishReason.ERROR:
        raise stream.failure()
    return pieces


async def _disconnected(request: Request) -> None:
    """Returns when the client has closed the connection; its body was read before."""
    while (await request.receive())["type"] != "http.disconnect":
        pass


async def _events(stream: Stream, head: ReplyHead, include_usage: bool) -> AsyncIterator[str]:
    """Server-sent events, one per piece that says something."""
    num_output = 0
    if first := head.first():
        yield _event(first)
    async for piece in stream.pieces():
        if piece.finish is FinishReason.ERROR:
            yield _event(stream.failure().document())
            break
        num_output += 1
        if piece.text or piece.finish or head.logprobs:
            yield _event(head.part(piece))
    if include_usage:
        yield _event(head.last(num_output))
    yield "data: [DONE]\n\n"


def _event(document: Mapping[str, object]) -> str:
    return f"data: {json.dumps(document)}\n\n"
