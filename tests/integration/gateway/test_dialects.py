"""Servers of others behind `serve.command`: strict ones, ones that pack, ones that close."""

from __future__ import annotations

import json

import httpx
import pytest
from sqlalchemy import select

from control_plane.services.accounts import known_callers
from control_plane.services.accounts.tokens import create_token, revoke_token
from control_plane.store.models import TokenUsage
from penstock.api.states import Role
from penstock.api.tokens import TokenRequest
from tests.fakes.cluster import ADMIN, BIG
from tests.fakes.openai_replica import PROMPT_TOKENS, WORDS, Behaviour, FakeReplica
from tests.fakes.waiting import until
from tests.integration.gateway.conftest import Front

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
ASK = {"model": "chat", "prompt": "hi"}
PATH = "/v1/completions"
TEXT = "".join(WORDS)
DIALECTS = {
    "strict": Behaviour(is_strict=True),
    "packing": Behaviour(packs=True),
    "closing": Behaviour(keeps=False),
    "all of it": Behaviour(is_strict=True, packs=True, keeps=False),
}


@pytest.fixture
def theirs(front: Front) -> FakeReplica:
    (replica,) = front.serve("chat", BIG, command=["their-server"])
    return replica


def _said(answer: httpx.Response) -> str:
    if not answer.headers["content-type"].startswith("text/event-stream"):
        return str(answer.json()["choices"][0]["text"])
    events = [line.removeprefix("data: ") for line in answer.text.split("\n\n") if line]
    assert events[-1] == "[DONE]"
    return "".join(json.loads(it)["choices"][0]["delta"]["content"] for it in events[:-1])


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("stream", [False, True])
def test_every_request_of_a_client_is_answered(
    front: Front, theirs: FakeReplica, dialect: str, stream: bool
) -> None:
    theirs.behaves = DIALECTS[dialect]
    client = front.client()
    asked = {**ASK, "stream": True} if stream else ASK
    for number in range(5):
        answer = client.post(PATH, json=asked)
        assert answer.status_code == 200, (number, answer.text)
        assert _said(answer) == TEXT
        assert "content-encoding" not in answer.headers
    assert theirs.seen.bodies == [asked] * 5, "as the client wrote it"


@pytest.mark.parametrize("stream", [False, True])
def test_their_tokens_are_counted(front: Front, theirs: FakeReplica, stream: bool) -> None:
    theirs.behaves = DIALECTS["all of it"]
    asked = {**ASK, "stream": True} if stream else ASK
    assert front.client().post(PATH, json=asked).status_code == 200

    def counted() -> tuple[int, int] | None:
        with front.cluster.deps.store.read() as tx:
            row = tx._session.scalar(select(TokenUsage))
            return None if row is None else (row.prompt_tokens, row.completion_tokens)

    until(lambda: counted() is not None)
    assert counted() == (0 if stream else PROMPT_TOKENS, len(WORDS))


def test_a_token_is_looked_up_once_and_not_for_long(
    front: Front, theirs: FakeReplica, monkeypatch: pytest.MonkeyPatch
) -> None:

    made = create_token(
        front.cluster.deps, ADMIN, TokenRequest(name="it", role=Role.MEMBER, project="mine")
    )
    client = front.client(made.secret)
    assert client.post(PATH, json=ASK).status_code == 200
    revoke_token(front.cluster.deps, ADMIN, made.id)
    monkeypatch.setattr(known_callers, "REMEMBER_S", 0.0)
    until(lambda: client.post(PATH, json=ASK).status_code == 401)
