"""Bad inputs: each gets one answer that says what, where, what is allowed, and what was meant."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import pytest
from starlette.testclient import TestClient

from control_plane.api import bodies
from control_plane.api.bodies import MAX_AGENT_BODY_BYTES, MAX_BODY_BYTES, MAX_YAML_BYTES
from penstock.api.messages import Message
from penstock.catalogue import TEXTS, render
from tests.integration.api.world import TASK, headers, join

pytestmark = pytest.mark.integration

YAML = {"Content-Type": "application/yaml"}
BOMB = "a: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"{new}: &{new} [{','.join([f'*{old}'] * 9)}]\n" for old, new in pairwise("abcdef")
)


@dataclass(frozen=True)
class Bad:
    """A request and what must come back. None: not looked at."""

    status: int
    code: str
    pointer: str | None = None
    did_you_mean: str | None = None
    allowed: str | None = None
    words: str = ""
    method: str = "POST"
    path: str = "/api/v1/jobs"
    body: bytes | str | dict[str, Any] = field(default_factory=dict)
    headers: dict[str, str] = field(default_factory=dict)


def _spec(**more: Any) -> dict[str, Any]:
    return {**TASK, **more}


def _get(status: int, code: str, path: str, pointer: str | None = None, **more: Any) -> Bad:
    return Bad(status, code, pointer, method="GET", path=path, **more)


CASES = {
    "broken JSON": Bad(400, "broken_json", words="line 1, column 10", body='{"type": }'),
    "broken YAML": Bad(400, "broken_yaml", words="line 2", body="type: [a\nb: c", headers=YAML),
    "empty body": Bad(422, "empty_document", "", body=b""),
    "a list, not a mapping": Bad(422, "not_a_mapping", "", body="[1]"),
    "not UTF-8": Bad(400, "not_utf8", "", body=b'{"type": "\xff"}'),
    "duplicate key in JSON": Bad(
        400, "duplicate_key", "/task/command",
        body='{"type": "task", "task": {"command": ["a"], "command": ["b"]}}',
    ),
    "duplicate key in YAML": Bad(
        400, "duplicate_key", "/type", words="line 2", body="type: task\ntype: train",
        headers=YAML,
    ),
    "YAML bomb of aliases": Bad(400, "too_many_aliases", body=BOMB, headers=YAML),
    "YAML tag": Bad(
        400, "tag_refused", "/type", body="type: !!python/object:os.system x", headers=YAML
    ),
    "NaN": Bad(400, "broken_json", words="NaN", body='{"priority": NaN}'),
    "a number beyond doubles": Bad(400, "number_too_large", body='{"priority": 1e999}'),
    "an integer of 5000 digits": Bad(400, "number_too_large", body=f'{{"a": {"9" * 5000}}}'),
    "an integer beyond 64 bits": Bad(
        422, "invalid", "/priority", body='{"type": "task", "priority": 1180591620717411303424}'
    ),
    "nested too deep": Bad(400, "too_deep", body='{"a":' * 5000 + "1" + "}" * 5000),
    "a NUL in text": Bad(422, "invalid", "/name", body='{"type": "task", "name": "a\\u0000b"}'),
    "half a surrogate pair": Bad(422, "invalid", "/name", body='{"name": "\\ud800"}'),
    "a NUL in a key": Bad(422, "invalid", body='{"\\u0000": 1}'),
    "misspelt key": Bad(
        422, "invalid", "/tsak", "task", "task", body={"type": "task", "tsak": {}}
    ),
    "misspelt inner key": Bad(
        422, "invalid", "/task/comand", "command", "command",
        body=_spec(task={"comand": ["x"], "command": ["x"]}),
    ),
    "a key of another level": Bad(422, "invalid", "/chips", "resources.chips", body=_spec(chips=2)),
    "wrong type": Bad(422, "invalid", "/task/command", body=_spec(task={"command": "x"})),
    "true for a number": Bad(422, "invalid", "/priority", words="whole", body=_spec(priority=True)),
    "false deep in a list": Bad(
        422, "invalid", "/train/shares/0/shares/1",
        body={"type": "train", "train": {"shares": [{"from_step": 0, "shares": [1, False]}]}},
    ),
    "unknown value": Bad(422, "invalid", "/type", "train", "serve", body={"type": "tarin"}),
    "missing section": Bad(422, "invalid", "", words="`task`", body={"type": "task"}),
    "out of range": Bad(422, "invalid", "/priority", words="100", body=_spec(priority=101)),
    "bad quantity": Bad(
        422, "invalid", "/resources/memory", words="16GiB", body=_spec(resources={"memory": "16"})
    ),
    "empty range": Bad(
        422, "invalid", "/resources/chips", body=_spec(resources={"chips": "8..2"})
    ),
    "unknown chip": Bad(
        422, "unknown_chip", "/resources/chip", "nvidia-a100", "ascend-910b",
        body=_spec(resources={"chips": 1, "chip": "nvida-a100"}),
    ),
    "one unknown chip of two": Bad(
        422, "unknown_chip", "/resources/chip/1", "emulated-910b",
        body=_spec(resources={"chips": 1, "chip": ["any", "emulatd-910b"]}),
    ),
    "training without a chip": Bad(
        422, "invalid", "/resources/chips", words="at least 1",
        body={"type": "train", "resources": {"chips": 0}},
    ),
    "training on none or more": Bad(
        422, "invalid", "/resources/chips", words="at least 1",
        body={"type": "train", "resources": {"chips": "0..4"}},
    ),
    "a share of no chip": Bad(
        422, "invalid", "/resources/chips", words="at least 1",
        body=_spec(resources={"chips": 0, "share": 0.5}),
    ),
    "training on a vendor's chips": Bad(
        422, "untrainable_chip", "/resources/chip", words="emulated",
        body={"type": "train", "resources": {"chip": "nvidia"}},
    ),
    "training on types of vendors": Bad(
        422, "untrainable_chip", "/resources/chip", words="nvidia-a100 or ascend-910b",
        body={"type": "train", "resources": {"chip": ["nvidia-a100", "ascend-910b"]}},
    ),
    "unknown queue": Bad(422, "unknown_queue", "/queue", "default", body=_spec(queue="defualt")),
    "form instead of a document": Bad(
        415, "unsupported_media_type", "Content-Type", allowed="application/yaml", body="a=b",
        headers={"Content-Type": "application/x-www-form-urlencoded"},
    ),
    "compressed": Bad(
        415, "unsupported_media_type", "Content-Encoding", body=b"\x1f\x8b",
        headers={"Content-Encoding": "gzip"},
    ),
    "another charset": Bad(
        415, "unsupported_media_type", "charset", body=b"{}",
        headers={"Content-Type": "application/json; charset=utf-16"},
    ),
    "huge JSON": Bad(413, "too_large", body=b" " * (MAX_BODY_BYTES + 1)),
    "huge YAML": Bad(413, "too_large", body=b" " * (MAX_YAML_BYTES + 1), headers=YAML),
    "bad key": Bad(
        422, "invalid", "Idempotency-Key", body=_spec(), headers={"Idempotency-Key": "a b"}
    ),
    "bad cursor": _get(422, "bad_cursor", "/api/v1/jobs?cursor=banana", "?cursor"),
    "a cursor of an older version": _get(
        422, "bad_cursor", "/api/v1/events?cursor=MTpqb2JfMQ", "?cursor"
    ),
    "negative page": _get(422, "invalid", "/api/v1/jobs?limit=-1", "?limit"),
    "page too large": _get(422, "invalid", "/api/v1/jobs?limit=501", "?limit", words="500"),
    "not a number": _get(422, "invalid", "/api/v1/jobs?limit=ten", "?limit"),
    "given twice": _get(422, "invalid_parameter", "/api/v1/jobs?limit=1&limit=2", "?limit"),
    "unknown parameter": _get(
        422, "invalid_parameter", "/api/v1/jobs?curser=1", "?curser", did_you_mean="cursor"
    ),
    "unknown state": _get(
        422, "invalid", "/api/v1/jobs?state=runing", "?state", did_you_mean="running",
        allowed="queued",
    ),
    "a label without value": _get(422, "invalid", "/api/v1/jobs?label=x", "?label"),
    "unknown vendor": _get(
        422, "unknown_chip", "/api/v1/jobs?chip_vendor=nvida", "?chip_vendor",
        did_you_mean="nvidia",
    ),
    "a NUL in a parameter": _get(
        422, "invalid_parameter", "/api/v1/jobs?label=a%00=b", "?label"
    ),
    "a NUL in a path": _get(404, "not_found", "/api/v1/jobs/a%00b"),
    "a path that climbs": _get(404, "no_such_path", "/api/v1/jobs/..%2f..%2fetc"),
    "unknown path": _get(404, "no_such_path", "/api/v1/jbos", did_you_mean="/api/v1/jobs"),
    "wrong method": Bad(
        405, "method_not_allowed", method="DELETE", path="/api/v1/jobs", allowed="POST"
    ),
    "foreign token": _get(
        401, "bad_token", "/api/v1/jobs", headers={"Authorization": "Bearer psn_of_a_node"}
    ),
    "bad Last-Event-ID": _get(
        422, "bad_last_event_id", "/api/v1/events", "Last-Event-ID",
        headers={"Accept": "text/event-stream", "Last-Event-ID": "x"},
    ),
    "no such job": _get(404, "job_not_found", "/api/v1/jobs/absent"),
    "a bad queue name": Bad(
        422, "invalid", "name", method="PUT", path="/api/v1/queues/Bad!", body={"limits": {}}
    ),
    "a limit on nothing known": Bad(
        422, "invalid", "/limits/nvidia-a10", "nvidia-a100", method="PUT",
        path="/api/v1/queues/q", body={"limits": {"nvidia-a10": 1}},
    ),
    "a limit below nothing": Bad(
        422, "invalid", "/limits/any", method="PUT", path="/api/v1/queues/q",
        body={"limits": {"any": -1}},
    ),
    "a list of ETags": Bad(
        400, "bad_etag", path="/api/v1/nodes/a/cordon", headers={"If-Match": '"1", "2"'}
    ),
}  # fmt: skip


def _content(bad: Bad) -> bytes:
    if isinstance(bad.body, dict):
        return json.dumps(bad.body).encode()
    return bad.body.encode() if isinstance(bad.body, str) else bad.body


def _said(told: dict[str, Any]) -> str:
    """What whoever has the catalogue makes of a code and its parameters; where they were left out
    for their length, nothing.
    """
    if "params" not in told and "{" in TEXTS[told["code"]]:
        return ""
    return render(Message(told["code"], told.get("params", {})))


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
@pytest.mark.parametrize("bad", CASES.values(), ids=list(CASES))
def test_a_bad_input_is_told_what_is_wrong(api_client: TestClient, bad: Bad) -> None:
    sent = {"Content-Type": "application/json", **bad.headers}
    answer = api_client.request(bad.method, bad.path, content=_content(bad), headers=sent)
    problem = answer.json()
    assert (answer.status_code, problem["code"]) == (bad.status, bad.code), answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert len(answer.content) <= 2048
    assert "Traceback" not in answer.text
    for name in ("type", "title", "detail", "instance", "request_id"):
        assert problem[name], name
    assert problem["status"] == bad.status
    assert bad.words in answer.text
    violations = problem["errors"]
    assert problem["detail"].startswith(_said(problem)[:400])
    for one in violations:
        assert one["message"].startswith(_said(one)[:200])
    if bad.pointer is not None:
        assert [one["pointer"] for one in violations] == [bad.pointer]
    if bad.did_you_mean is not None:
        assert violations[0]["did_you_mean"] == bad.did_you_mean
    if bad.allowed is not None:
        assert bad.allowed in violations[0]["allowed"]


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_everything_wrong_is_told_at_once(api_client: TestClient) -> None:
    body = {
        "type": "task", "priority": 500, "naem": "x", "task": {"command": [1], "replicas": 0},
        "resources": {"dtype": "bf61", "memory": "lots"}, "env": {"1BAD": "hunter2"},
    }  # fmt: skip
    answer = api_client.post("/api/v1/jobs", json=body)
    pointers = {one["pointer"] for one in answer.json()["errors"]}
    assert pointers == {
        "/priority",
        "/naem",
        "/task/command/0",
        "/task/replicas",
        "/resources/dtype",
        "/resources/memory",
        "/env/1BAD",
    }
    assert "hunter2" not in answer.text, "values of env may be secret"
    assert len(answer.content) <= 2048


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_a_long_body_of_unknown_length_is_cut_off(api_client: TestClient) -> None:
    sent = 0

    def endless() -> Iterator[bytes]:
        nonlocal sent
        for _ in range(64):
            sent += 1
            yield b" " * (MAX_BODY_BYTES // 4)

    answer = api_client.post("/api/v1/jobs", content=endless())
    assert (answer.status_code, answer.json()["code"]) == (413, "too_large")


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_agents_may_send_more_than_people(api_client: TestClient) -> None:
    agent = join(api_client, "a")
    padded = b'{"chunks": []' + b" " * MAX_BODY_BYTES + b"}"
    sent = {**headers(agent.secret), "Content-Type": "application/json"}
    answer = api_client.post("/api/v1/agent/logs", content=padded, headers=sent)
    assert answer.status_code == 200
    padded = b" " * (MAX_AGENT_BODY_BYTES + 1)
    answer = api_client.post("/api/v1/agent/logs", content=padded, headers=sent)
    assert answer.status_code == 413


def test_numbers_that_no_column_holds_are_refused(api_client: TestClient) -> None:
    agent = join(api_client, "a")
    beat = {"instance": "i", "generation": 2**63 - 1}
    answer = api_client.post("/api/v1/agent/heartbeat", json=beat, headers=headers(agent.secret))
    assert answer.status_code in (200, 422), answer.text
    assert (
        api_client.get(
            "/api/v1/agent/assignments?generation=9223372036854775807&wait_s=0",
            headers=headers(agent.secret),
        ).status_code
        == 200
    )


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_a_request_id_is_carried_through(api_client: TestClient) -> None:
    answer = api_client.get("/api/v1/jobs/absent", headers={"X-Request-Id": "mine-1"})
    assert answer.headers["x-request-id"] == answer.json()["request_id"] == "mine-1"
    answer = api_client.get("/api/v1/whoami", headers={"X-Request-Id": "evil\x7f<b>"})
    assert answer.headers["x-request-id"].startswith("req_")


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_answers_carry_security_headers_and_no_cors(api_client: TestClient) -> None:
    for path in ("/healthz", "/api/v1/jobs", "/api/v1/absent"):
        answer = api_client.get(path, headers={"Origin": "http://evil.example"})
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert "default-src 'none'" in answer.headers["content-security-policy"]
        assert not [name for name in answer.headers if name.startswith("access-control")]
        assert "server" not in answer.headers


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_a_body_that_never_comes_is_given_up(
    live_api: str, admin_secret: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bodies, "BODY_DEADLINE_S", 0.2)
    for length, body, code in ((500, b'{"type"', b"slow_body"), (2**40, b"", b"too_large")):
        with socket.create_connection(("127.0.0.1", int(live_api.rpartition(":")[2]))) as slow:
            slow.settimeout(10)
            head = (
                f"POST /api/v1/jobs HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\n"
                f"Content-Type: application/json\r\nAuthorization: Bearer {admin_secret}\r\n\r\n"
            )
            slow.sendall(head.encode() + body)
            answer = b"".join(iter(lambda: slow.recv(65536), b""))  # until the server hangs up
        assert code in answer
        assert b"connection: close" in answer.lower()
