"""One replica's service: where it stands, who may come in, and which stream gets which piece.

Lives on the event loop; the engine lives in a thread and is reached by its two thread-safe
calls. Imports no torch, so that the server listens while the model is still loading.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from penstock.json_types import Json
from workloads.engine.api.errors import (
    ApiError,
    bad_request,
    busy,
    context_overflow,
    internal,
    not_ready,
)
from workloads.engine.api.requests import ChatRequest, CompletionRequest
from workloads.engine.options import ServeWork
from workloads.engine.sequence import FinishReason, Piece, SamplingParams, Sequence
from workloads.engine.text.chat import ChatRefused


class State(StrEnum):
    LOADING = "loading"
    READY = "ready"
    DRAINING = "draining"
    FAILED = "failed"


class EngineCommands(Protocol):
    """The engine as the service sees it."""

    def submit(self, sequence: Sequence) -> None: ...

    def abort(self, sequence_id: str) -> None: ...


class Text(Protocol):
    """The tokenizer as the service sees it."""

    def encode(self, text: str) -> list[int]: ...

    def encode_chat(self, messages: list[Json]) -> list[int]: ...

    def token_text(self, token: int) -> str: ...

    def token_bytes(self, token: int) -> list[int] | None: ...


@dataclass(frozen=True, slots=True)
class Served:
    """What is served once the model is loaded. `context` bounds prompt plus completion."""

    engine: EngineCommands
    text: Text
    context: int
    vocab_size: int
    bos: int | None
    manifest_sha256: str | None


class Service:
    """Admits requests while ready and hands every piece to the stream it belongs to."""

    def __init__(self, work: ServeWork) -> None:
        self.work = work
        self.state = State.LOADING
        self._served: Served | None = None
        self._streams: dict[str, Stream] = {}
        self._answering: set[str] = set()
        self._idle = asyncio.Event()
        self._idle.set()

    @property
    def served(self) -> Served:
        """What is served; raises ApiError 503 while there is nothing, or no longer."""
        self.check_ready()
        assert self._served is not None
        return self._served

    def check_ready(self) -> None:
        """Raises ApiError 503 unless requests are admitted."""
        if self.state is not State.READY:
            raise not_ready(self.state.value)

    def ready(self, served: Served) -> None:
        """The model is loaded. A replica told to stop in the meantime stays as it is."""
        self._served = served
        if self.state is State.LOADING:
            self.state = State.READY

    def open(self, sequence: Sequence) -> Stream:
        """Hands a sequence to the engine; raises ApiError where there is no place."""
        engine = self.served.engine
        if len(self._streams) >= self.work.max_running + self.work.max_waiting:
            raise busy()
        stream = Stream(self, sequence.id)
        self._streams[sequence.id] = stream
        self._answering.add(sequence.id)
        self._idle.clear()
        engine.submit(sequence)
        return stream

    def dispatch(self, pieces: list[Piece]) -> None:
        """Called on the event loop with what the engine published."""
        for piece in pieces:
            if stream := self._streams.get(piece.sequence_id):
                stream.put(piece)
                if piece.finish:
                    del self._streams[piece.sequence_id]

    def close(self, sequence_id: str) -> None:
        """The client has its answer or is gone; a sequence still running is aborted."""
        if self._streams.pop(sequence_id, None) and self._served:
            self._served.engine.abort(sequence_id)
        self._answering.discard(sequence_id)
        if not self._answering:
            self._idle.set()

    def stop_admitting(self, state: State) -> None:
        """From now on nobody comes in and /health says why; running streams go on."""
        if self.state is not State.FAILED:
            self.state = state

    async def drained(self, timeout_s: float) -> bool:
        """Waits until every answer is with its client; False if some are not by `timeout_s`."""
        try:
            await asyncio.wait_for(self._idle.wait(), timeout_s)
        except TimeoutError:
            return False
        return True

    def end_all(self) -> None:
        """Ends every stream with an error, so that its client knows."""
        for sequence_id in list(self._streams):
            self.dispatch([Piece(sequence_id, "", finish=FinishReason.ERROR)])


class Stream:
    """The pieces of one sequence, in order, until one carries how it ended.

    The queue is bounded by the sequence's own `max_tokens`.
    """

    def __init__(self, service: Service, sequence_id: str) -> None:
        self._service = service
        self._sequence_id = sequence_id
        self._pieces: asyncio.Queue[Piece] = asyncio.Queue()

    def put(self, piece: Piece) -> None:
        self._pieces.put_nowait(piece)

    async def pieces(self) -> AsyncIterator[Piece]:
        while True:
            piece = await self._pieces.get()
            yield piece
            if piece.finish:
                return

    def failure(self) -> ApiError:
        """What to answer when the last piece says error."""
        state = self._service.state
        return internal() if state is State.FAILED else not_ready(state.value)

    def close(self) -> None:
        """Nobody reads any more, in every case to be called: aborts what has not ended."""
        self._service.close(self._sequence_id)


def prompt_tokens(request: CompletionRequest | ChatRequest, served: Served) -> list[int]:
    """The request's prompt as tokens; raises ApiError where it cannot be one."""
    try:
        tokens = _encoded(request, served)
    except UnicodeEncodeError as error:
        raise bad_request("The text holds half a surrogate pair.", None) from error
    except ChatRefused as error:
        raise bad_request(str(error), "messages") from error
    tokens = tokens or ([] if served.bos is None else [served.bos])
    if not tokens:
        raise bad_request("The prompt is empty.", "prompt")
    return tokens


def sampling_params(
    request: CompletionRequest | ChatRequest, num_prompt: int, served: Served, fresh_seed: int
) -> SamplingParams:
    """How to sample; raises ApiError where the completion would outgrow the context."""
    room = served.context - num_prompt
    most = room if request.default_tokens is None else min(room, request.default_tokens)
    max_tokens = request.wanted_tokens or max(most, 1)
    if max_tokens > room:
        param = "messages" if isinstance(request, ChatRequest) else "prompt"
        raise context_overflow(param, num_prompt, max_tokens, served.context)
    return SamplingParams(
        max_tokens=max_tokens,
        seed=fresh_seed if request.seed is None else request.seed,
        temperature=request.temperature,
        top_p=request.top_p,
        top_k=max(request.top_k, 0),
        stop=tuple(request.stop),
        ignore_eos=request.ignore_eos,
        num_logprobs=request.num_logprobs,
    )


def _encoded(request: CompletionRequest | ChatRequest, served: Served) -> list[int]:
    if isinstance(request, ChatRequest):
        return served.text.encode_chat([it.for_template() for it in request.messages])
    if isinstance(request.prompt, str):
        return served.text.encode(request.prompt)
    if beyond := [token for token in request.prompt if not 0 <= token < served.vocab_size]:
        raise bad_request(
            f"Token {beyond[0]} is outside the vocabulary of {served.vocab_size}.", "prompt"
        )
    return request.prompt
