"""Which replica answers: by model, chip type, load and speed; and who may ask."""

from __future__ import annotations

import threading
from collections import Counter

import pytest

from control_plane.services.accounts.tokens import create_token
from control_plane.services.endpoints.read import list_endpoints
from penstock.api.states import JobState, Role
from penstock.api.tokens import TokenRequest
from tests.fakes.cluster import ADMIN, BIG, SMALL, a_server
from tests.fakes.openai_replica import Behaviour
from tests.fakes.waiting import until
from tests.integration.gateway.conftest import Front

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
ASK = {"model": "chat", "messages": [{"role": "user", "content": "hi"}]}


def test_a_request_reaches_a_replica_of_the_model(front: Front) -> None:
    (replica,) = front.serve("chat", BIG)
    answer = front.client().post("/v1/chat/completions", json=ASK)
    assert (answer.status_code, answer.json()["by"]) == (200, "chat-0")
    assert answer.headers["x-penstock-replica"] == front.id_of(replica)
    assert (replica.seen.paths, replica.seen.bodies) == (["/v1/chat/completions"], [ASK])


@pytest.mark.parametrize("path", ["completions", "embeddings", "rerank", "tokenize"])
def test_every_route_of_an_engine_is_passed_on(front: Front, path: str) -> None:
    (replica,) = front.serve("chat", BIG)
    assert front.client().post(f"/v1/{path}", json=ASK).status_code == 200
    assert replica.seen.paths == [f"/v1/{path}"]


def test_a_base_url_may_name_the_chip_type(front: Front) -> None:
    big, small = front.serve("chat", BIG, SMALL)
    client = front.client()
    for kind, replica in ((BIG, big), (SMALL, small)):
        answers = [client.post(f"/at/{kind}/v1/completions", json=ASK).json() for _ in range(3)]
        assert {it["by"] for it in answers} == {replica.name}
        assert replica.seen.paths == ["/v1/completions"] * 3
    answer = client.post("/at/nvidia-a100/v1/completions", json=ASK)
    assert (answer.status_code, answer.json()["error"]["code"]) == (503, "model_not_ready")
    models = client.get(f"/at/{BIG}/v1/models").json()["data"]
    assert [it["id"] for it in models] == ["chat"]
    assert client.get("/at/nvidia-a100/v1/models").json()["data"] == [], "it may still join"


@pytest.mark.parametrize(
    "wish,kind,status",
    [
        ([BIG], SMALL, 404),
        ([BIG], BIG, 503),
        ([BIG], "nvidia-a100", 404),
        (["nvidia"], SMALL, 404),
        (["nvidia"], "nvidia-a100", 503),
        (["emulated"], SMALL, 503),
        (["any"], SMALL, 503),
    ],
)
def test_a_chip_type_that_the_job_can_never_get_is_no_reason_to_wait(
    front: Front, wish: list[str], kind: str, status: int
) -> None:
    spec = a_server("chat", project="mine", resources={"chips": 1, "chip": wish})
    front.cluster.submit(spec)
    answer = front.client().post(f"/at/{kind}/v1/completions", json=ASK)
    code = {404: "chip_type_not_served", 503: "model_not_ready"}[status]
    assert (answer.status_code, answer.json()["error"]["code"]) == (status, code)
    if status == 404:
        assert f"its job asks for {wish[0]}." in answer.json()["error"]["message"]
        assert "retry-after" not in answer.headers


def test_a_model_can_be_looked_up_alone(front: Front) -> None:
    front.serve("chat", BIG)
    client = front.client()
    (listed,) = client.get("/v1/models").json()["data"]
    for path in ("/v1/models/chat", f"/at/{BIG}/v1/models/chat"):
        assert client.get(path).json() == listed


def test_requests_under_way_are_spread_by_speed(front: Front) -> None:
    fast, slow = front.serve("chat", BIG, SMALL)
    front.measure(fast, 300)
    front.measure(slow, 100)
    gate = threading.Event()
    for replica in (fast, slow):
        replica.behaves = Behaviour(gate=gate)
    client = front.client()
    asking = [
        threading.Thread(target=client.post, args=("/v1/completions",), kwargs={"json": ASK})
        for _ in range(12)
    ]
    for thread in asking:
        before = front.under_way()
        thread.start()
        until(lambda before=before: front.under_way() == before + 1)  # type: ignore[misc]
    gate.set()
    for thread in asking:
        thread.join()
    assert Counter(fast=len(fast.seen.bodies), slow=len(slow.seen.bodies)) == {"fast": 9, "slow": 3}


@pytest.mark.parametrize("secret", [None, "pst_wrong", ""])
def test_without_a_valid_token_there_is_no_answer(front: Front, secret: str | None) -> None:
    (replica,) = front.serve("chat", BIG)
    client = front.client(secret or None)
    if secret == "":
        client.headers["Authorization"] = "Basic bWU6bWU="
    for answer in (client.get("/v1/models"), client.post("/v1/chat/completions", json=ASK)):
        assert (answer.status_code, answer.json()["error"]["code"]) == (401, "invalid_api_key")
    assert replica.seen.bodies == []


def test_an_unknown_model_is_a_404_that_names_those_there_are(front: Front) -> None:
    front.serve("chat", BIG)
    answer = front.client().post("/v1/completions", json={**ASK, "model": "chart"})
    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "model_not_found")
    assert "chat" in answer.json()["error"]["message"]


def test_another_tenants_model_is_as_if_it_were_not(front: Front) -> None:
    (replica,) = front.serve("secret", BIG, project="theirs")
    client = front.client()
    endpoint = front.cluster.endpoint("secret")
    for name in ("secret", endpoint.id):
        answer = client.post("/v1/completions", json={**ASK, "model": name})
        assert answer.status_code == 404
        assert "There are" not in answer.json()["error"]["message"]
    assert client.get("/v1/models").json()["data"] == []
    assert replica.seen.bodies == []


def test_a_model_of_several_projects_is_refused_with_the_ids_that_work(front: Front) -> None:
    (replica,) = front.serve("chat", BIG)
    front.cluster.submit(a_server("chat", project="theirs"))
    deps = front.cluster.deps
    admin = create_token(deps, ADMIN, TokenRequest(name="boss", role=Role.ADMIN))
    client = front.client(admin.secret)
    refused = client.post("/v1/completions", json=ASK)
    assert (refused.status_code, refused.json()["error"]["code"]) == (400, "ambiguous_model")
    ids = {one.project: one.id for one in list_endpoints(deps, ADMIN, 9, None, None).items}
    assert all(one in refused.json()["error"]["message"] for one in (*ids, *ids.values()))
    assert client.post("/v1/completions", json={**ASK, "model": ids["mine"]}).status_code == 200
    assert len(replica.seen.bodies) == 1


def test_a_model_that_is_not_ready_says_so_and_when_to_come_again(front: Front) -> None:
    front.cluster.submit(a_server("chat", project="mine"))
    answer = front.client().post("/v1/completions", json=ASK)
    assert (answer.status_code, answer.json()["error"]["code"]) == (503, "model_not_ready")
    assert answer.headers["retry-after"] == "2"


@pytest.mark.parametrize(
    "body,code",
    [
        (b"{", "invalid_json"), (b"[]", "model_missing"), (b"{}", "model_missing"),
        (b'{"model": 1}', "model_missing"), (b"[" * 100_000, "invalid_json"),
    ],
)  # fmt: skip
def test_a_body_that_makes_no_sense_is_refused(front: Front, body: bytes, code: str) -> None:
    answer = front.client().post("/v1/completions", content=body)
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, code)


def test_a_body_that_is_too_long_is_refused_before_it_is_read(front: Front) -> None:
    def chunks() -> object:
        for _ in range(9):
            yield b" " * 2**20

    answer = front.client().post("/v1/completions", content=chunks())  # type: ignore[arg-type]
    assert (answer.status_code, answer.json()["error"]["code"]) == (413, "body_too_large")


def test_an_error_of_the_engine_is_passed_on(front: Front) -> None:
    (replica,) = front.serve("chat", BIG)
    replica.behaves = Behaviour(status=429)
    answer = front.client().post("/v1/completions", json=ASK)
    assert (answer.status_code, answer.json()["error"]["code"]) == (429, "busy")


def test_a_replica_that_is_told_to_stop_gets_nothing_new_at_once(front: Front) -> None:
    (replica,) = front.serve("chat", BIG)
    client = front.client()
    assert client.post("/v1/completions", json=ASK).status_code == 200
    front.cluster.cancel("chat")
    assert front.cluster.state("chat") is JobState.STOPPING
    until(lambda: client.post("/v1/completions", json=ASK).status_code != 200, 0.5)
    assert len(replica.seen.bodies) <= 2
