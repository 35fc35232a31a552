"""Bodies made to cost much: each is refused, at a price in processor time that is bounded."""

from __future__ import annotations

import json
import time
from itertools import pairwise
from typing import Any

import pytest
from starlette.testclient import TestClient

from tests.integration.api.world import headers, join

pytestmark = [
    pytest.mark.integration,
    pytest.mark.parametrize("database_url", ["sqlite"], indirect=True),
]

BEYOND_MS, STRANGER_MS, KNOWN_MS = 5, 10, 150
SLACK = 3
"""Machines that run tests are busy with others; the exact figures are the benchmark's."""
YAML = {"Content-Type": "application/yaml"}
JSON = {"Content-Type": "application/json"}
CHIP = {"key": "x", "vendor": "emulated", "type": "emulated-a100", "index": 0, "health": "healthy"}


def _keys(number: int) -> str:
    return json.dumps({f"key{one}": 1 for one in range(number)})


def _yaml_keys(number: int) -> str:
    return "".join(f"key{one}: 1\n" for one in range(number))


def _inventory(*chips: Any, repeat: int) -> str:
    whole = {"cores_milli": 1, "memory_bytes": 1, "chips": list(chips) * repeat}
    return json.dumps({"name": "a", "inventory": whole})


BOMB = "a0: &a0 [x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"a{new}: &a{new} [{','.join([f'*a{old}'] * 9)}]\n" for old, new in pairwise(range(30))
)
STRANGERS = {
    "60,000 unknown keys": (JSON, _keys(60_000), 413, BEYOND_MS),
    "4,000 unknown keys": (JSON, _keys(4_000), 413, BEYOND_MS),
    "256 unknown keys": (JSON, _keys(256), 422, STRANGER_MS),
    "keys of YAML": (YAML, _yaml_keys(3_000), 413, STRANGER_MS),
    "bad chips": (JSON, _inventory({}, repeat=900), 422, STRANGER_MS),
    "chips that are numbers": (JSON, _inventory(1, repeat=1_900), 422, STRANGER_MS),
    "nesting": (JSON, '{"a":' * 10_000, 400, BEYOND_MS),
    "nesting of lists in YAML": (YAML, "a: " + "[" * 10_000, 400, BEYOND_MS),
    "nesting by dashes": (YAML, "- " * 10_000, 400, BEYOND_MS),
    "an alias bomb": (YAML, BOMB, 400, STRANGER_MS),
    "a number of 60,000 digits": (JSON, '{"name": ' + "9" * 60_000 + "}", 400, BEYOND_MS),
    "NaN": (JSON, '{"name": NaN}', 400, BEYOND_MS),
    "compressed": ({**JSON, "Content-Encoding": "gzip"}, "\x1f\x8b" + "0" * 60_000, 415, BEYOND_MS),
    "one key again and again": (JSON, "{" + '"name": 1,' * 1_900 + '"a": 1}', 400, STRANGER_MS),
    "one long key": (JSON, '{"' + "k" * 60_000 + '": 1}', 413, BEYOND_MS),
    "quotes and backslashes": (JSON, '{"a": "' + '\\"\\\\' * 15_000, 400, BEYOND_MS),
    "half surrogate pairs": (JSON, json.dumps({"name": ["\ud800"] * 1_900}), 422, STRANGER_MS),
    "a long misspelt name": (JSON, json.dumps({"n" * 1_000: 1}), 422, STRANGER_MS),
    "similar names": (JSON, json.dumps({f"nam{n}": 1 for n in range(200)}), 422, STRANGER_MS),
}  # fmt: skip
KNOWN = {
    "60,000 unknown keys": (JSON, _keys(60_000), 413, BEYOND_MS),
    "1,024 unknown keys": (JSON, _keys(1_024), 422, KNOWN_MS),
    "YAML of 11,000 keys": (YAML, _yaml_keys(11_000), 413, KNOWN_MS),
    "a list of 19,000 numbers": (
        JSON, json.dumps({"type": "task", "task": {"command": [1] * 19_000}}), 422, KNOWN_MS,
    ),
    "9,000 empty mappings": (
        JSON, json.dumps({"type": "train", "train": {"shares": [{}] * 9_000}}), 422, KNOWN_MS,
    ),
    "5,000 lists that are too short": (
        JSON, json.dumps({"type": "train", "train": {
            "shares": [{"from_step": 0, "shares": []}] * 4_500}}), 422, KNOWN_MS,
    ),
    "many labels": (
        JSON, json.dumps({"type": "task", "labels": {str(n): n for n in range(1_000)}}), 422,
        KNOWN_MS,
    ),
    "a list of YAML": (YAML, "a: [" + "1," * 300_000 + "1]", 413, KNOWN_MS),
    "text of a mebibyte": (JSON, json.dumps({"type": "\u4e2d" * 170_000}), 422, KNOWN_MS),
    "true for numbers": (
        JSON, json.dumps({"type": "train", "train": {
            "shares": [{"from_step": True, "shares": [True]}] * 4_000}}), 422, KNOWN_MS,
    ),
    "values beside commas in text": (JSON, json.dumps({"a": ["a,b"] * 100_000}), 413, KNOWN_MS),
}  # fmt: skip


def _cost_ms(client: TestClient, path: str, sent: dict[str, str], body: str) -> tuple[int, float]:
    """Of this whole process, the client's own work included: the least of two."""
    data, costs = body.encode(), []
    answer = client.post(path, content=data, headers=sent)
    for _ in range(2):
        started = time.process_time()
        answer = client.post(path, content=data, headers=sent)
        costs.append((time.process_time() - started) * 1000)
        assert len(answer.content) <= 2048
        assert len(answer.json()["errors"]) <= 20
    return answer.status_code, min(costs)


@pytest.mark.parametrize("kind", STRANGERS)
def test_a_stranger_costs_little(api_client: TestClient, kind: str) -> None:
    sent, body, status, most_ms = STRANGERS[kind]
    found, took_ms = _cost_ms(api_client, "/api/v1/agent/enrol", sent, body)
    assert found == status
    assert took_ms <= most_ms * SLACK + 10


@pytest.mark.parametrize("kind", KNOWN)
def test_who_is_known_costs_a_bounded_time(api_client: TestClient, kind: str) -> None:
    sent, body, status, most_ms = KNOWN[kind]
    found, took_ms = _cost_ms(api_client, "/api/v1/jobs", sent, body)
    assert found == status
    assert took_ms <= most_ms * SLACK + 10


@pytest.mark.parametrize("path", ["heartbeat", "reports"])
def test_a_node_that_sends_rubbish_costs_a_bounded_time(api_client: TestClient, path: str) -> None:
    agent = join(api_client, "a")
    rubbish = (
        {"observations": [{}] * 3_000}
        if path == "reports"
        else json.loads(_inventory({**CHIP, "more": 1}, repeat=3_000))
    )
    sent = {**JSON, **headers(agent.secret)}
    found, took_ms = _cost_ms(api_client, f"/api/v1/agent/{path}", sent, json.dumps(rubbish))
    assert found in (413, 422)
    assert took_ms <= KNOWN_MS * SLACK


def test_the_join_token_of_the_header_is_checked_before_the_body(api_client: TestClient) -> None:
    sent = headers("psj_of_nobody")
    answer = api_client.post("/api/v1/agent/enrol", content=b"{" * 2**21, headers=sent)
    assert (answer.status_code, answer.json()["code"]) == (401, "bad_join_token")


def test_a_join_token_in_the_header_lets_a_node_in_with_a_long_inventory(
    api_client: TestClient,
) -> None:
    token = api_client.post("/api/v1/join-tokens", json={}).json()["token"]
    body = json.loads(_inventory(repeat=0))
    body["inventory"]["dropped"] = ["x" * 100] * 1_000
    answer = api_client.post("/api/v1/agent/enrol", json=body, headers=headers(token))
    assert answer.status_code == 200, answer.text
    again = api_client.post("/api/v1/agent/enrol", json=body, headers=headers(token))
    assert (again.status_code, again.json()["code"]) == (401, "bad_join_token")


def test_large_bodies_are_checked_at_a_bounded_rate(api_client: TestClient) -> None:
    large = json.dumps({"type": "x" * 70_000})
    found = [api_client.post("/api/v1/jobs", content=large, headers=JSON) for _ in range(30)]
    assert {one.status_code for one in found} == {422, 429}
    limited = found[-1]
    assert limited.json()["code"] == "too_many_large_bodies"
    assert int(limited.headers["retry-after"]) >= 1
    small = api_client.post("/api/v1/jobs", json={"type": "x"})
    assert small.status_code == 422
