"""Replicas that die, clients that leave, streams that drain; and what all of it is counted as."""

from __future__ import annotations

import json
import threading
from typing import Any

import httpx
import pytest
from sqlalchemy import select

from control_plane.gateway import router as router_module
from control_plane.store.models import TokenUsage
from tests.fakes.cluster import BIG, SMALL
from tests.fakes.openai_replica import PROMPT_TOKENS, WORDS, Behaviour
from tests.fakes.waiting import until
from tests.integration.gateway.conftest import Front

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
ASK = {"model": "chat", "prompt": "hi"}
STREAM = {**ASK, "stream": True}
TELLING_STREAM = {**STREAM, "stream_options": {"include_usage": True}}
PATH = "/v1/completions"


@pytest.mark.parametrize("fault", ["gone", "before", "leaving"])
@pytest.mark.parametrize("ask", [ASK, STREAM])
def test_another_replica_answers_as_long_as_nothing_was_sent(
    front: Front, fault: str, ask: dict[str, object]
) -> None:
    broken, whole = front.serve("chat", BIG, SMALL)
    front.measure(broken, 1000)
    front.measure(whole, 1)
    if fault == "gone":
        broken.stop()
    broken.behaves = Behaviour(
        dies="before" if fault == "before" else "never", status=503 if fault == "leaving" else 200
    )
    answer = front.client().post(PATH, json=ask)
    assert answer.status_code == 200
    assert answer.headers["x-penstock-replica"] == front.id_of(whole)


def test_when_no_replica_answers_the_model_is_not_ready(front: Front) -> None:
    for replica in front.serve("chat", BIG, SMALL):
        replica.behaves = Behaviour(dies="before")
    answer = front.client().post(PATH, json=ASK)
    assert (answer.status_code, answer.json()["error"]["code"]) == (503, "model_not_ready")


def test_a_stream_that_breaks_is_not_begun_anew_and_says_so(front: Front) -> None:
    """What was sent cannot be taken back."""
    broken, whole = front.serve("chat", BIG, SMALL)
    front.measure(broken, 1000)
    front.measure(whole, 1)
    broken.behaves = Behaviour(dies="middle")
    answer = front.client().post(PATH, json=STREAM)
    events = _events(answer.text)
    assert events[0]["choices"][0]["delta"]["content"] == WORDS[0]
    assert events[-1]["error"]["code"] == "replica_lost"
    assert whole.seen.bodies == []


def test_a_plain_answer_that_breaks_is_no_answer(front: Front) -> None:
    broken, whole = front.serve("chat", BIG, SMALL)
    front.measure(broken, 1000)
    front.measure(whole, 1)
    broken.behaves = Behaviour(dies="middle")
    with pytest.raises(httpx.RemoteProtocolError):
        front.client().post(PATH, json=ASK)
    assert whole.seen.bodies == []


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A gateway that gives a replica little time."""
    monkeypatch.setattr(router_module, "_TIMEOUT", httpx.Timeout(0.3))


def test_a_replica_that_never_answers_is_given_up(impatient: None, front: Front) -> None:
    (replica,) = front.serve("chat", BIG)
    replica.behaves = Behaviour(gate=threading.Event())
    answer = front.client().post(PATH, json=ASK)
    assert (answer.status_code, answer.json()["error"]["code"]) == (504, "replica_too_slow")


@pytest.mark.parametrize("ask", [ASK, STREAM])
def test_a_client_that_leaves_before_the_first_byte_frees_its_replica(
    front: Front, ask: dict[str, object]
) -> None:
    (replica,) = front.serve("chat", BIG)
    replica.behaves = Behaviour(gate=threading.Event())
    with pytest.raises(httpx.ReadTimeout):
        front.client().post(PATH, json=ask, timeout=0.3)
    until(lambda: replica.seen.num_left == 1)


def test_a_client_that_leaves_in_the_middle_frees_its_replica_and_is_counted(front: Front) -> None:
    (replica,) = front.serve("chat", BIG)
    replica.behaves = Behaviour(pause_s=0.2)
    with front.client().stream("POST", PATH, json=STREAM) as answer:
        next(answer.iter_bytes())
    until(lambda: replica.seen.num_left == 1)
    until(lambda: _counted(front) != [])
    ((_, prompt, completion),) = _counted(front)
    assert (prompt, completion) == (0, 1)


def test_nothing_is_left_under_way_after_any_of_it(front: Front) -> None:
    """Else the balancer would shun a replica for what ended long ago."""
    first, second = front.serve("chat", BIG, SMALL)
    client = front.client()
    for behaviour in (
        Behaviour(dies="before"),
        Behaviour(dies="middle"),
        Behaviour(status=503),
        Behaviour(gate=threading.Event()),
    ):
        first.behaves = second.behaves = behaviour
        for ask in (ASK, STREAM):
            try:
                client.post(PATH, json=ask, timeout=0.3)
            except httpx.HTTPError:
                continue
    first.behaves = second.behaves = Behaviour()
    until(lambda: not front.under_way())


def test_a_draining_replica_ends_its_streams_in_peace(front: Front) -> None:
    (replica,) = front.serve("chat", BIG)
    replica.behaves = Behaviour(pause_s=0.3)
    lines: list[str] = []

    def read() -> None:
        with front.client().stream("POST", PATH, json=STREAM) as answer:
            lines.extend(answer.iter_lines())

    reading = threading.Thread(target=read)
    reading.start()
    until(lambda: lines != [] or replica.seen.num_under_way == 1)
    front.cluster.cancel("chat")
    reading.join(10)
    assert [it for it in lines if it][-1] == "data: [DONE]"


@pytest.mark.parametrize(
    "ask", [ASK, STREAM, {**STREAM, "stream_options": {"include_usage": True}}]
)
def test_every_answer_is_counted_by_token_endpoint_and_chip_type(
    front: Front, ask: dict[str, object]
) -> None:
    front.serve("chat", BIG)
    client = front.client()
    answers = [client.post(PATH, json=ask) for _ in range(3)]
    until(lambda: _requests(front) == 3)
    assert _counted(front) == [(BIG, 3 * PROMPT_TOKENS, 3 * len(WORDS))]
    asked = "stream_options" in ask or "stream" not in ask
    assert all(('"usage"' in it.text) == asked for it in answers), "only who asked is told"


def test_an_engine_that_tells_no_usage_is_counted_by_chunks(front: Front) -> None:
    (replica,) = front.serve("chat", BIG)
    replica.behaves = Behaviour(sends_usage=False)
    front.client().post(PATH, json=STREAM)
    until(lambda: _counted(front) == [(BIG, 0, len(WORDS))])


def test_refusals_are_not_counted(front: Front) -> None:
    (replica,) = front.serve("chat", BIG)
    client = front.client()
    replica.behaves = Behaviour(status=400)
    client.post(PATH, json=ASK)
    replica.behaves = Behaviour()
    client.post(PATH, json=ASK)
    until(lambda: _requests(front) > 0)
    assert _requests(front) == 1


def _events(text: str) -> list[dict[str, Any]]:
    lines = [line.removeprefix("data: ") for line in text.splitlines() if line]
    return [json.loads(line) for line in lines if line != "[DONE]"]


def _counted(front: Front) -> list[tuple[str, int, int]]:
    with front.cluster.deps.store.read() as tx:
        rows = tx._session.scalars(select(TokenUsage)).all()
    return [(row.chip_type, row.prompt_tokens, row.completion_tokens) for row in rows]


def _requests(front: Front) -> int:
    with front.cluster.deps.store.read() as tx:
        return sum(tx._session.scalars(select(TokenUsage.num_requests)))
