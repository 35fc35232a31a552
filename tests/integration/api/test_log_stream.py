"""Logs over a real server: followed, resumed at any place, bounded, ended."""

from __future__ import annotations

import base64
import socket
import time
from typing import Any

import httpx
import pytest
from starlette.testclient import TestClient

from control_plane.api import sse, streams
from control_plane.clock import ManualClock
from control_plane.services.deps import Deps
from control_plane.store.log_store import CHUNK_BYTES
from penstock.api.ids import ReplicaId
from tests.integration.api.followers import Follower, Sent
from tests.integration.api.world import Agent, headers, new_token, place, submit

pytestmark = pytest.mark.integration
SQLITE = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


def _texts(events: list[Sent]) -> list[str]:
    return [event.data["text"] for event in events]


def test_a_stream_follows_a_job_to_its_end(
    api_client: TestClient, deps: Deps, agent: Agent, follower: Follower
) -> None:
    job = submit(api_client, name="told")["id"]
    stream = follower.events("told")
    (replica,) = place(deps, job, agent)
    agent.log(replica, 0, "one\ntw")
    first = next(stream)
    assert (first.name, first.data["text"], first.data["replica"]) == ("line", "one", replica)
    started = time.monotonic()
    agent.log(replica, 6, "o\n\x1b[31mred\x07\x9b\n")
    assert next(stream).data["text"] == "two"
    assert time.monotonic() - started < 1, "woken by the hint"
    assert next(stream).data["text"] == "\x1b[31mred\x07\x9b"
    agent.log(replica, 20, "no newline")
    agent.end(replica, 3, log_bytes=30)
    assert next(stream).data["text"] == "no newline"
    end = next(stream)
    assert (end.name, end.data["state"], end.data["exit_code"]) == ("end", "failed", 3)
    assert list(stream) == []


def test_a_stream_goes_on_from_any_event(
    api_client: TestClient, deps: Deps, agent: Agent, follower: Follower
) -> None:
    job = submit(api_client, task={"command": ["true"], "replicas": 3})["id"]
    replicas = place(deps, job, agent, ranks=3)
    for rank, replica in enumerate(replicas):
        text = "".join(f"{rank}-{number} é\n" for number in range(rank + 4)) + f"{rank}-rest"
        agent.log(replica, 0, text)
    for replica in replicas:
        agent.end(replica, log_bytes=0)
    whole = follower.lines(job)
    assert sorted(_texts(whole)) == sorted(
        f"{rank}-{number} é" if number < rank + 4 else f"{rank}-rest"
        for rank in range(3)
        for number in range(rank + 5)
    )
    for position, event in enumerate(whole):
        assert follower.lines(job, event.id) == whole[position + 1 :]


def test_attempts_come_in_order(
    api_client: TestClient, deps: Deps, agent: Agent, follower: Follower, clock: ManualClock
) -> None:
    job = submit(api_client, name="twice", retry={"limit": 1})["id"]
    (first,) = place(deps, job, agent)
    agent.log(first, 0, "a1\n")
    agent.end(first, 1, log_bytes=6)
    clock.advance(20)
    (second,) = place(deps, job, agent)
    agent.log(second, 0, "b1\n", epoch=2)
    agent.log(first, 3, "a2\n")  # what was written before the end may still arrive after it
    agent.report(
        second,
        "exited",
        2,
        exit={"code": 0, "reason": "completed", "ended_at": "2026-01-05T12:00:00Z", "log_bytes": 3},
    )
    assert _texts(follower.lines("twice")) == ["a1", "a2", "b1"]
    text = api_client.get("/api/v1/jobs/twice/logs").text
    assert text == "[1.0] a1\n[1.0] a2\n[2.0] b1\n"
    assert api_client.get("/api/v1/jobs/twice/logs?attempt=2").text == "b1\n"
    assert _texts(follower.lines("twice", query="?attempt=1")) == ["a1", "a2"]


@SQLITE
def test_the_end_waits_for_the_last_bytes(
    api_client: TestClient, deps: Deps, agent: Agent, follower: Follower, clock: ManualClock
) -> None:
    job = submit(api_client)["id"]
    (replica,) = place(deps, job, agent)
    agent.end(replica, log_bytes=5)
    stream = follower.events(job)
    agent.log(replica, 0, "late\n")
    assert next(stream).data["text"] == "late"
    assert next(stream).name == "end"
    other = submit(api_client)["id"]
    (silent,) = place(deps, other, agent)
    agent.end(silent, log_bytes=5)
    clock.advance(21)  # the agent died: its last bytes are not waited for without end
    said, end = follower.events(other)
    assert "the last 5 bytes of this output have not come" in said.data["text"]
    assert (said.id, end.name) == (None, "end")
    assert api_client.get(f"/api/v1/jobs/{other}/logs").text == said.data["text"] + "\n"


@SQLITE
def test_a_long_log_comes_whole_over_chunks(
    api_client: TestClient, deps: Deps, agent: Agent, follower: Follower
) -> None:
    job = submit(api_client)["id"]
    (replica,) = place(deps, job, agent)
    lines = [f"{number} " + "x" * (number % 700) for number in range(7000)]
    data = "".join(f"{line}\n" for line in lines)
    assert len(data) > 2 * CHUNK_BYTES
    offset = 0
    for start in range(0, len(data), 300_001):
        offset = agent.log(replica, offset, data[start : start + 300_001])["offsets"][replica]
    agent.end(replica, log_bytes=len(data))
    started = time.monotonic()
    events = follower.lines(job)
    took_s = time.monotonic() - started
    assert _texts(events) == lines
    print(f"{len(lines)} lines, {len(data) / 1e6:.1f} MB in {took_s:.2f} s")
    middle = events[4000]
    assert _texts(follower.lines(job, middle.id)) == lines[4001:]
    assert api_client.get(f"/api/v1/jobs/{job}/logs").text == data


@SQLITE
def test_what_retention_took_is_said(
    api_client: TestClient, deps: Deps, agent: Agent, follower: Follower
) -> None:
    job = submit(api_client)["id"]
    (replica,) = place(deps, job, agent)
    agent.log(replica, 0, "gone\n")
    agent.end(replica, log_bytes=5)
    deps.logs.delete(ReplicaId(replica))
    assert _texts(follower.lines(job)) == ["[penstock] 5 bytes of this log are not kept any more"]


@SQLITE
def test_a_reader_that_stops_reading_stops_the_reading(
    api_client: TestClient,
    deps: Deps,
    agent: Agent,
    live_api: str,
    admin_secret: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    job = submit(api_client)["id"]
    (replica,) = place(deps, job, agent)
    block = ("y" * 99 + "\n") * 30_000
    for number in range(8):
        agent.log(replica, number * len(block), block)
    read = 0
    kept = type(deps.logs).read

    def counting(logs: Any, replica_id: str, offset: int, limit: int) -> bytes:
        nonlocal read
        data: bytes = kept(logs, ReplicaId(replica_id), offset, limit)
        read += len(data)
        return data

    monkeypatch.setattr(type(deps.logs), "read", counting)
    port = int(live_api.rpartition(":")[2])
    with socket.socket() as slow:
        slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 64 * 1024)
        slow.connect(("127.0.0.1", port))
        slow.sendall(
            f"GET /api/v1/jobs/{job}/logs HTTP/1.1\r\nHost: x\r\nAccept: text/event-stream\r\n"
            f"Authorization: Bearer {admin_secret}\r\n\r\n".encode()
        )
        time.sleep(1.5)
        first = read
        time.sleep(0.5)
        assert read == first, "nothing more is read for a reader that takes nothing"
        assert 0 < read < len(block) * 8 // 2


@SQLITE
def test_a_revoked_token_ends_its_streams(
    api_client: TestClient, deps: Deps, agent: Agent, live_api: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sse, "RECHECK_S", 0.05)
    monkeypatch.setattr(sse, "POLL_S", 0.05)
    job = submit(api_client)["id"]
    (replica,) = place(deps, job, agent)
    agent.log(replica, 0, "begun\n")
    secret = new_token(api_client, "default", name="leaver")
    stream = Follower(live_api, secret).events(job)
    assert next(stream).data["text"] == "begun"
    api_client.delete("/api/v1/tokens/leaver")
    assert list(stream) == [], "cut without an `end`"


@SQLITE
def test_streams_are_bounded_and_kept_alive(
    api_client: TestClient, live_api: str, admin_secret: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streams, "MAX_PER_TOKEN", 1)
    monkeypatch.setattr(sse, "POLL_S", 0.05)
    monkeypatch.setattr(sse, "HEARTBEAT_S", 0.05)
    job = submit(api_client)["id"]
    sent = {**headers(admin_secret), "Accept": "text/event-stream"}
    path = f"{live_api}/api/v1/jobs/{job}/logs"
    with httpx.stream("GET", path, headers=sent, timeout=20) as answer:
        lines = answer.iter_lines()
        assert next(lines) == "retry: 1000"
        assert next(line for line in lines if line) == ": still here"
        second = httpx.get(path, headers=sent)
        assert (second.status_code, second.json()["code"]) == (429, "too_many_streams")
        assert second.headers["retry-after"]
    for _ in range(100):
        with httpx.stream("GET", path, headers=sent) as third:
            if third.status_code == 200:
                break
        time.sleep(0.05)
    else:
        pytest.fail("a closed stream must make room")


@SQLITE
def test_positions_are_opaque_and_checked(api_client: TestClient, agent: Agent) -> None:
    job = submit(api_client)["id"]
    for word in ("x", "***", base64.b64encode(b"2;0.1.0=3,").decode(), "MTswLjEuMD0tMQ"):
        answer = api_client.get(
            f"/api/v1/jobs/{job}/logs",
            headers={"Accept": "text/event-stream", "Last-Event-ID": word},
        )
        assert (answer.status_code, answer.json()["code"]) == (422, "bad_last_event_id")
