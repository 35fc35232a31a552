"""Logs come byte by byte, whole, as text and as a stream: long lines, late bytes, broken disks."""

from __future__ import annotations

import base64
import threading
import time
from typing import Any

import httpx
import pytest
from starlette.testclient import TestClient

from control_plane.services.deps import Deps
from control_plane.store.log_store import CHUNK_BYTES, LogStore
from penstock.api.ids import ReplicaId
from tests.integration.api.followers import Follower, Sent
from tests.integration.api.world import Agent, headers, place, submit

pytestmark = pytest.mark.integration
SQLITE = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
LONG = ("é漢x".encode() * 180_000)[: 2**20 - 3] + b"\xff\xfe\n"


@SQLITE
def test_text_takes_the_tail_of_each_rank(
    api_client: TestClient, deps: Deps, agent: Agent, follower: Follower
) -> None:
    job = submit(api_client, task={"command": ["true"], "replicas": 2})["id"]
    replicas = place(deps, job, agent, ranks=2)
    for rank, replica in enumerate(replicas):
        agent.log(replica, 0, "".join(f"{number}\n" for number in range(100)) + f"end{rank}")
    path = f"/api/v1/jobs/{job}/logs"
    assert api_client.get(f"{path}?tail=2").text == "[0] 99\n[0] end0\n[1] 99\n[1] end1\n"
    assert api_client.get(f"{path}?tail=1&rank=1").text == "end1"
    assert api_client.get(f"{path}?tail=0").text == ""
    assert api_client.get(f"{path}?head=2").text == "[0] 0\n[0] 1\n[1] 0\n[1] 1\n"
    assert api_client.get(f"{path}?head=0").text == ""
    assert api_client.get(f"{path}?head=1000&rank=0").text.endswith("\n99\nend0")
    assert api_client.get(f"{path}?offset=2&head=1&rank=0").text == "1\n"
    refused = api_client.get(f"{path}?head=2&tail=2")
    assert (refused.status_code, "`tail` and `head`" in refused.text) == (422, True)
    assert len(api_client.get(f"{path}?rank=0").text.splitlines()) == 101
    for replica in replicas:
        agent.end(replica)
    (last,) = follower.lines(job, query="?tail=1&rank=1")
    assert (last.data["text"], last.data["partial"]) == ("end1", True)


def _bytes(events: list[Sent]) -> bytes:
    found = b""
    for event in events:
        raw = event.data.get("raw")
        found += base64.b64decode(raw) if raw else event.data["text"].encode()
        found += b"" if event.data.get("partial") else b"\n"
    return found


def _written(agent: Agent, replica: str, data: bytes) -> None:
    for start in range(0, len(data), 300_001):
        agent.log(replica, start, data[start : start + 300_001])


def test_a_line_of_a_mebibyte_comes_byte_by_byte_and_goes_on_from_anywhere(
    api_client: TestClient, deps: Deps, agent: Agent, follower: Follower
) -> None:
    job = submit(api_client)["id"]
    (replica,) = place(deps, job, agent)
    data = b"begin\n" + LONG + b"no line end"
    _written(agent, replica, data)
    agent.end(replica, log_bytes=len(data))
    whole = follower.lines(job)
    assert _bytes(whole) == data
    assert max(len(event.data["text"].encode()) for event in whole) < 70_000, "bounded pieces"
    assert "\ufffd" not in "".join(event.data["text"] for event in whole[:-2])
    for position in (0, 1, 7, len(whole) - 2):
        assert follower.lines(job, whole[position].id) == whole[position + 1 :]
    assert api_client.get(f"/api/v1/jobs/{job}/logs").content == data
    assert api_client.get(f"/api/v1/jobs/{job}/logs?tail=1").content == b"no line end"


@SQLITE
def test_the_text_of_an_ended_job_waits_for_what_is_still_shipped(
    api_client: TestClient, deps: Deps, agent: Agent
) -> None:
    job = submit(api_client, task={"command": ["true"], "replicas": 2})["id"]
    first, second = place(deps, job, agent, ranks=2)
    agent.log(first, 0, "a\n")
    agent.end(first, log_bytes=2)
    agent.end(second, log_bytes=len(LONG) + 2)

    def ship() -> None:
        time.sleep(0.3)
        agent.log(second, 0, "b\n")
        time.sleep(0.3)
        agent.log(second, 2, LONG)

    shipping = threading.Thread(target=ship)
    shipping.start()
    text = api_client.get(f"/api/v1/jobs/{job}/logs").content
    tail = api_client.get(f"/api/v1/jobs/{job}/logs?rank=1&tail=1").content
    shipping.join()
    assert text == b"[0] a\n[1] b\n[1] " + LONG
    assert tail == LONG


@SQLITE
def test_the_text_of_a_live_job_is_what_there_is_now(
    api_client: TestClient, deps: Deps, agent: Agent
) -> None:
    job = submit(api_client, task={"command": ["true"], "replicas": 2})["id"]
    replicas = place(deps, job, agent, ranks=2)
    for replica in replicas:
        agent.log(replica, 0, "one\ntw")
    text = api_client.get(f"/api/v1/jobs/{job}/logs").text
    assert text == "[0] one\n[0] tw\n[1] one\n[1] tw\n"


@SQLITE
def test_what_draws_over_itself_keeps_its_rank(
    api_client: TestClient, deps: Deps, agent: Agent
) -> None:
    job = submit(api_client, task={"command": ["true"], "replicas": 2})["id"]
    for replica in place(deps, job, agent, ranks=2):
        agent.log(replica, 0, " 10%\r 20%\rdone\r\n")
    text = api_client.get(f"/api/v1/jobs/{job}/logs").content
    assert text == b"".join(b"[%d]  10%%\r[%d]  20%%\r[%d] done\r\n" % (n, n, n) for n in (0, 1))
    alone = api_client.get(f"/api/v1/jobs/{job}/logs?rank=1").content
    assert alone == b" 10%\r 20%\rdone\r\n"


@SQLITE
def test_a_text_that_breaks_off_does_not_look_whole(
    deps: Deps,
    api_client: TestClient,
    agent: Agent,
    live_api: str,
    admin_secret: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    job = submit(api_client)["id"]
    (replica,) = place(deps, job, agent)
    agent.log(replica, 0, "x" * 2**20)
    kept = type(deps.logs).read

    def failing(logs: Any, replica_id: str, offset: int, limit: int) -> bytes:
        if offset > 2**19:
            raise OSError("the disk is gone")
        data: bytes = kept(logs, ReplicaId(replica_id), offset, limit)
        return data

    monkeypatch.setattr(type(deps.logs), "read", failing)
    with pytest.raises(httpx.RemoteProtocolError):
        httpx.get(f"{live_api}/api/v1/jobs/{job}/logs", headers=headers(admin_secret))


@SQLITE
def test_what_was_left_out_at_the_start_is_said_once(
    api_client: TestClient, deps: Deps, agent: Agent, follower: Follower
) -> None:
    job = submit(api_client)["id"]
    (replica,) = place(deps, job, agent)
    bounded = LogStore(deps.storage, keep_bytes=CHUNK_BYTES)
    data = b"".join(b"%08d\n" % number for number in range(500_000))
    for start in range(0, len(data), 300_000):
        agent.log(replica, start, data[start : start + 300_000])
        bounded.write(ReplicaId(replica), start, data[start : start + 300_000])
    agent.end(replica, log_bytes=len(data))
    notice, *lines = api_client.get(f"/api/v1/jobs/{job}/logs").content.split(b"\n", 1)
    gone = int(notice.split()[1])
    assert notice == b"[penstock] %d bytes of this log are not kept any more" % gone
    assert lines == [data[gone:]]
    assert len(lines[0]) <= 3 * CHUNK_BYTES
    assert _bytes(follower.lines(job)) == notice + b"\n" + data[gone:]


@SQLITE
def test_a_rank_or_attempt_that_an_ended_job_never_had_is_refused_with_those_it_had(
    api_client: TestClient, deps: Deps, agent: Agent
) -> None:
    job = submit(api_client, name="two", task={"command": ["true"], "replicas": 2})["id"]
    path = f"/api/v1/jobs/{job}/logs"
    replicas = place(deps, job, agent, ranks=2)
    assert api_client.get(f"{path}?rank=7").status_code == 200  # it may still come
    for replica in replicas:
        agent.end(replica)
    for query, told in (
        ("rank=7", "two had no rank 7: there were 0 and 1 (attempts: 1)"),
        ("attempt=9", "two had no attempt 9: there were 1"),
        ("rank=2&attempt=1", "two had no rank 2 in attempt 1: there were 0 and 1 (attempts: 1)"),
    ):
        for accept in ("text/plain", "text/event-stream"):
            refused = api_client.get(f"{path}?{query}", headers={"Accept": accept})
            assert (refused.status_code, refused.json()["code"]) == (404, "no_such_log")
            assert refused.json()["detail"] == told
    never = submit(api_client, name="never")["id"]
    api_client.post(f"/api/v1/jobs/{never}/cancel")
    refused = api_client.get(f"/api/v1/jobs/{never}/logs?rank=0")
    assert refused.json()["detail"] == "never has no output: it ended before it was placed"
    assert api_client.get(f"/api/v1/jobs/{never}/logs").text == ""
