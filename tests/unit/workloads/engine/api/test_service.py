"""The service: who is admitted in which state, and where pieces go."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Any

import pytest

from tests.unit.workloads.engine.sequences import a_sequence
from workloads.engine.api.errors import ApiError
from workloads.engine.api.requests import ChatRequest, CompletionRequest, Message
from workloads.engine.api.service import Served, Service, State, prompt_tokens, sampling_params
from workloads.engine.options import ServeWork
from workloads.engine.sequence import FinishReason, Piece, Sequence
from workloads.engine.text.chat import ChatRefused

WORK = ServeWork(model_uri="x", model_name="m", kind="checkpoint", max_running=1, max_waiting=1)


@dataclass
class FakeEngine:
    submitted: list[str] = field(default_factory=list)
    aborted: list[str] = field(default_factory=list)

    def submit(self, sequence: Sequence) -> None:
        self.submitted.append(sequence.id)

    def abort(self, sequence_id: str) -> None:
        self.aborted.append(sequence_id)


class LetterText:
    """One token per letter; refuses conversations that begin with the assistant."""

    def encode(self, text: str) -> list[int]:
        return list(text.encode())

    def encode_chat(self, messages: list[dict[str, Any]]) -> list[int]:
        if messages[0]["role"] == "assistant":
            raise ChatRefused("the user speaks first")
        return self.encode("".join(message["content"] for message in messages))

    def token_text(self, token: int) -> str:
        return chr(token)

    def token_bytes(self, token: int) -> list[int] | None:
        return [token]


def served(engine: FakeEngine | None = None, bos: int | None = None) -> Served:
    return Served(engine or FakeEngine(), LetterText(), 20, 128, bos, None)


def a_service(engine: FakeEngine) -> Service:
    service = Service(WORK)
    service.ready(served(engine))
    return service


def status_of(service: Service) -> int:
    with pytest.raises(ApiError) as caught:
        service.open(a_sequence("x"))
    return caught.value.status


async def collect(service: Service, name: str, pieces: list[Piece]) -> str:
    stream = service.open(a_sequence(name))
    service.dispatch(pieces)
    return "".join([piece.text async for piece in stream.pieces()])


def test_a_stream_gets_its_own_pieces_only() -> None:
    pieces = [Piece("a", "x"), Piece("b", "y"), Piece("a", "z", finish=FinishReason.STOP)]
    assert asyncio.run(collect(a_service(FakeEngine()), "a", pieces)) == "xz"


def test_nobody_is_admitted_before_the_model_is_loaded_or_while_draining() -> None:
    assert status_of(Service(WORK)) == 503
    service = a_service(FakeEngine())
    service.stop_admitting(State.DRAINING)
    assert status_of(service) == 503


def test_a_replica_told_to_stop_while_loading_never_becomes_ready() -> None:
    service = Service(WORK)
    service.stop_admitting(State.DRAINING)
    service.ready(served())
    assert service.state is State.DRAINING


def test_beyond_running_and_waiting_places_comes_429_with_retry_after() -> None:
    service = a_service(FakeEngine())
    service.open(a_sequence("a"))
    service.open(a_sequence("b"))
    with pytest.raises(ApiError) as caught:
        service.open(a_sequence("c"))
    assert caught.value.status == 429
    assert caught.value.headers == {"retry-after": "1"}


def test_closing_an_unfinished_stream_aborts_it_once_and_frees_its_place() -> None:
    engine = FakeEngine()
    service = a_service(engine)
    stream = service.open(a_sequence("a"))
    service.open(a_sequence("b"))
    stream.close()
    stream.close()
    service.open(a_sequence("c"))
    assert engine.aborted == ["a"]


def test_closing_a_finished_stream_aborts_nothing() -> None:
    engine = FakeEngine()
    service = a_service(engine)
    stream = service.open(a_sequence("a"))
    service.dispatch([Piece("a", "", finish=FinishReason.STOP)])
    stream.close()
    assert engine.aborted == []


def test_draining_waits_until_answers_are_sent_and_no_longer_than_told() -> None:
    async def scenario() -> tuple[bool, bool]:
        service = a_service(FakeEngine())
        stream = service.open(a_sequence("a"))
        service.stop_admitting(State.DRAINING)
        service.dispatch([Piece("a", "", finish=FinishReason.LENGTH)])
        early = await service.drained(0.0)
        stream.close()
        return early, await service.drained(1.0)

    assert asyncio.run(scenario()) == (False, True)


def test_ending_all_tells_every_stream() -> None:
    async def scenario() -> list[FinishReason | None]:
        service = a_service(FakeEngine())
        streams = [service.open(a_sequence(name)) for name in "ab"]
        service.stop_admitting(State.FAILED)
        service.end_all()
        assert {stream.failure().status for stream in streams} == {500}
        return [piece.finish for stream in streams async for piece in stream.pieces()]

    assert asyncio.run(scenario()) == [FinishReason.ERROR, FinishReason.ERROR]


def test_tokens_outside_the_vocabulary_are_refused() -> None:
    with pytest.raises(ApiError, match="Token 128 is outside"):
        prompt_tokens(CompletionRequest(model="m", prompt=[1, 128]), served())


def test_an_empty_prompt_becomes_the_first_token_where_there_is_one() -> None:
    empty = CompletionRequest(model="m", prompt="")
    assert prompt_tokens(empty, served(bos=1)) == [1]
    with pytest.raises(ApiError, match="empty"):
        prompt_tokens(empty, served())


def test_half_a_surrogate_pair_is_refused() -> None:
    with pytest.raises(ApiError, match="surrogate"):
        prompt_tokens(CompletionRequest(model="m", prompt="\ud800"), served())


def test_a_conversation_that_the_template_refuses_is_a_bad_request() -> None:
    chat = ChatRequest(model="m", messages=[Message(role="assistant", content="hi")])
    with pytest.raises(ApiError, match="user speaks first") as caught:
        prompt_tokens(chat, served())
    assert caught.value.param == "messages"


def test_a_completion_may_fill_the_context_exactly() -> None:
    request = CompletionRequest(model="m", prompt="x", max_tokens=5)
    assert sampling_params(request, 15, served(), 0).max_tokens == 5
    with pytest.raises(ApiError) as caught:
        sampling_params(request, 16, served(), 0)
    assert (caught.value.code, caught.value.param) == ("context_length_exceeded", "prompt")


@pytest.mark.parametrize("num_prompt,expected", [(1, 16), (4, 16), (15, 5)])
def test_a_completion_without_limit_is_short_and_never_refused_where_there_is_room(
    num_prompt: int, expected: int
) -> None:
    request = CompletionRequest(model="m", prompt="x")
    assert sampling_params(request, num_prompt, served(), 0).max_tokens == expected


def test_a_chat_without_limit_gets_what_is_left() -> None:
    chat = ChatRequest(model="m", messages=[Message(role="user", content="x")])
    assert sampling_params(chat, 15, served(), 0).max_tokens == 5
    with pytest.raises(ApiError, match="maximum context length is 20"):
        sampling_params(chat, 20, served(), 0)


def test_a_seed_given_goes_before_a_fresh_one() -> None:
    request = CompletionRequest(model="m", prompt="x", seed=3)
    assert sampling_params(request, 1, served(), 9).seed == 3
    without = CompletionRequest(model="m", prompt="x")
    assert sampling_params(without, 1, served(), 9).seed == 9
