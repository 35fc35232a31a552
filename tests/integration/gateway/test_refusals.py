"""Whatever is wrong with a request below /v1 and /at, the answer has OpenAI's shape."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy.exc import OperationalError
from starlette.testclient import TestClient

from control_plane.main import build, build_app
from control_plane.settings import Settings
from tests.fakes.cluster import BIG
from tests.integration.conftest import BASE_URL
from tests.integration.gateway.conftest import Front

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
NO_MODEL: dict[str, Any] = {"messages": []}
AT = f"/at/{BIG}"
# (method, path, body) → (status, code, words of the message)
CASES: list[tuple[str, str, Any, int, str, str]] = [
    ("GET", "/v1", None, 404, "unknown_url", "/v1/chat/completions"),
    ("GET", "/v1/", None, 404, "unknown_url", "/v1/models"),
    ("POST", "/v1/chat/completion", {}, 404, "unknown_url", "Did you mean /v1/chat/completions?"),
    ("GET", "/v1/modles", None, 404, "unknown_url", "Did you mean /v1/models?"),
    ("POST", "/v1/images/generations", {}, 404, "unknown_url", "/v1/images/generations"),
    ("GET", "/at", None, 404, "unknown_url", "/v1/models"),
    ("GET", "/at/x", None, 404, "unknown_url", "no path /at/x"),
    ("POST", f"{AT}/v1/completionz", {}, 404, "unknown_url",
     f"Did you mean {AT}/v1/completions?"),
    ("GET", "/v1/chat/completions", None, 405, "method_not_allowed", "takes POST, not GET"),
    ("DELETE", "/v1/models/chat", None, 405, "method_not_allowed", "takes GET, not DELETE"),
    ("PUT", f"{AT}/v1/models", {}, 405, "method_not_allowed", "takes GET, not PUT"),
    ("PATCH", "/v1/completions", None, 405, "method_not_allowed", "takes POST, not PATCH"),
    ("GET", "/v1/models/chatt", None, 404, "model_not_found", "Did you mean chat?"),
    ("GET", "/v1/models/a/b%00c", None, 404, "model_not_found", "There are: chat"),
    ("GET", f"{AT}/v1/models/chatt", None, 404, "model_not_found", "Did you mean chat?"),
    ("POST", "/v1/completions", {"model": "caht"}, 404, "model_not_found", "Did you mean chat?"),
    ("POST", "/v1/completions", {"model": "\ud800"}, 404, "model_not_found", "There are: chat"),
    ("GET", "/at/emulated-a10/v1/models", None, 404, "chip_type_not_found",
     "Did you mean emulated-a100?"),
    ("GET", "/at/emulated-a10/v1/models/chat", None, 404, "chip_type_not_found", "a100"),
    ("POST", "/at/emulated-a10/v1/completions", {"model": "chat"}, 404, "chip_type_not_found",
     "penstock chip types"),
    ("POST", "/v1/completions", NO_MODEL, 400, "model_missing", "`model`"),
]  # fmt: skip


@pytest.mark.parametrize("method,path,body,status,code,words", CASES)
def test_it_is_refused_in_the_shape_of_openai(
    front: Front, method: str, path: str, body: Any, status: int, code: str, words: str
) -> None:
    front.serve("chat", BIG)
    answer = front.client().request(method, path, content=json.dumps(body))
    assert answer.status_code == status, answer.text
    error = _error(answer.json())
    assert (error["type"], error["code"]) == ("invalid_request_error", code)
    assert words in error["message"]
    if status == 405:
        assert answer.headers["allow"] in error["message"]
    if code.startswith("model_"):
        assert error["param"] == "model"


@pytest.mark.parametrize("secret", [None, "pst_wrong", "psn_of_a_node"])
@pytest.mark.parametrize(
    "method,path",
    [("GET", "/v1/models"), ("GET", "/v1/models/chat"), ("POST", "/v1/completions"),
     ("GET", "/at/emulated-a10/v1/models")],
)  # fmt: skip
def test_without_a_token_of_ours_nothing_is_told(
    front: Front, method: str, path: str, secret: str | None
) -> None:
    answer = front.client(secret).request(method, path)
    assert answer.status_code == 401
    assert _error(answer.json())["code"] == "invalid_api_key"
    assert answer.headers["www-authenticate"].startswith("Bearer")


HOSTILE = {
    "nesting": ('{"model": "chat", "a": ' + "[" * 10_000, 400, "invalid_json"),
    "values": ('{"model": "chat", "a": [' + "1," * 300_000 + "1]}", 413, "body_too_large"),
    "NaN": ('{"model": "chat", "temperature": NaN}', 400, "invalid_json"),
    "digits": ('{"model": "chat", "n": ' + "9" * 1_000_000 + "}", 400, "invalid_json"),
    "a key twice": ('{"model": "chat", "model": "other"}', 400, "invalid_json"),
    "an escape at the end": ('{"model": "chat\\', 400, "invalid_json"),
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_a_body_made_to_cost_much_is_refused(front: Front, kind: str) -> None:
    body, status, code = HOSTILE[kind]
    answer = front.client().post("/v1/completions", content=body)
    assert (answer.status_code, _error(answer.json())["code"]) == (status, code)


def test_any_text_and_a_long_prompt_of_tokens_is_read(front: Front) -> None:
    front.serve("chat", BIG)
    body = {"model": "chat", "prompt": [1] * 150_000, "user": "\0\ud800", "seed": 2**70}
    answer = front.client().post("/v1/completions", content=json.dumps(body))
    assert answer.status_code == 200, answer.text


def test_a_database_that_is_away_is_told_in_the_same_shape(
    front: Front, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(*arguments: object) -> None:
        raise OperationalError("SELECT 1", {}, Exception("gone"))

    client = front.client()
    monkeypatch.setattr("control_plane.gateway.router.authenticate", away)
    answer = client.get("/v1/models")
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "2")
    assert _error(answer.json())["code"] == "database_unavailable"


def test_without_authentication_only_this_machine_may_ask(
    tmp_path: Path, database_url: str
) -> None:
    parts = build(Settings(home=tmp_path, auth=False))
    client = TestClient(build_app(parts), BASE_URL)
    assert client.get("/v1/models").status_code == 200
    for sent in ({"Host": "evil.example"}, {"Origin": "http://evil.example"}, {"Origin": "null"}):
        answer = client.get("/v1/models", headers=sent)
        assert (answer.status_code, _error(answer.json())["code"]) == (403, "not_local")
    parts.close()


@pytest.fixture
def whole(tmp_path: Path, database_url: str) -> Iterator[TestClient]:
    """The application as it is served, with the API beside the gateway."""
    parts = build(Settings(home=tmp_path))
    yield TestClient(build_app(parts), BASE_URL)
    parts.close()


def test_the_api_beside_it_keeps_its_own_shape(whole: TestClient) -> None:
    for path in ("/v1", "/v1/x", "/at/x", "/v1/models"):
        _error(whole.get(path).json())
    for path in ("/api/v1/jbos", "/v1x", "/att"):
        answer = whole.get(path)
        assert answer.headers["content-type"] == "application/problem+json", path
        assert answer.json()["code"] == "no_such_path"
    links = whole.get("/").json()["links"]
    statuses = {name: whole.get(link).status_code for name, link in links.items()}
    assert statuses == {
        "api": 200,
        "openapi": 200,
        "openai": 401,
        "metrics": 200,
        "health": 200,
        "ready": 503,
    }


def _error(document: dict[str, Any]) -> dict[str, Any]:
    assert set(document) == {"error"}
    error: dict[str, Any] = document["error"]
    assert set(error) == {"message", "type", "param", "code"}
    assert error["message"]
    return error
