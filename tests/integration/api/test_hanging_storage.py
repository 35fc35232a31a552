"""A storage that does not answer, as of a dead NFS server: nobody waits for it for long, and who
asks for something else is not held up.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest
from starlette.testclient import TestClient

from control_plane.api.app import build_api
from control_plane.deadlines import ANSWER_S
from control_plane.errors import Unavailable
from control_plane.hints.hub import Hub
from control_plane.services.deps import Deps
from control_plane.store import bounded_logs
from control_plane.store.bounded_logs import BoundedLogs
from control_plane.store.log_store import LogStore
from penstock.api.ids import ReplicaId
from tests.integration.api.world import Agent, headers, place, submit
from tests.integration.conftest import serving

pytestmark = [
    pytest.mark.integration,
    pytest.mark.parametrize("database_url", ["sqlite"], indirect=True),
]
WAIT_S = 0.3
MANY = 24
"""More than any lane has threads for."""


@pytest.fixture
def deps(deps: Deps) -> Deps:
    assert isinstance(deps.logs, LogStore)
    return replace(deps, logs=BoundedLogs(deps.logs, WAIT_S))


@pytest.fixture
def hanging(deps: Deps, agent: Agent, api_client: TestClient) -> Iterator[tuple[str, str]]:
    """A job and its replica, whose log has become a pipe that nobody opens: all calls hang."""
    job = submit(api_client)["id"]
    (replica,) = place(deps, job, agent)
    agent.log(replica, 0, "hello\n")
    (chunk,) = (Path(urlsplit(deps.storage).path) / "logs" / replica).iterdir()
    chunk.unlink()
    os.mkfifo(chunk)
    yield job, replica
    with open(os.open(chunk, os.O_RDWR | os.O_NONBLOCK), "rb"):
        time.sleep(WAIT_S)


def test_a_log_that_hangs_is_refused_in_time_and_holds_up_nothing_else(
    hanging: tuple[str, str], deps: Deps, hub: Hub, admin_secret: str, agent: Agent
) -> None:
    job, replica = hanging
    path = f"/api/v1/jobs/{job}/logs"
    with (
        serving(build_api(deps, hub)) as url,
        httpx.Client(base_url=url, headers=headers(admin_secret), timeout=10) as client,
        ThreadPoolExecutor(2 * MANY) as readers,
    ):
        began = time.monotonic()
        asked = [readers.submit(client.get, f"{path}?tail=1") for _ in range(MANY)]
        asked += [readers.submit(client.get, path) for _ in range(MANY)]
        for other in ("/healthz", "/readyz", "/api/v1/jobs", f"/api/v1/jobs/{job}"):
            asked_s = time.monotonic()
            assert client.get(other).status_code in (200, 503 if other == "/readyz" else 200)
            assert time.monotonic() - asked_s < ANSWER_S, other
        spec = {"type": "task", "task": {"command": ["true"]}}
        assert client.post("/api/v1/jobs", json=spec).status_code == 201
        replies = [one.result() for one in asked]
        assert time.monotonic() - began < 2 * ANSWER_S, "with all that it took to ask"
        assert {reply.status_code for reply in replies} == {503}
        assert {reply.json()["code"] for reply in replies} <= {"storage_hangs", "busy"}
        assert all("Retry-After" in reply.headers for reply in replies)
    told = agent.log(replica, 6, "more\n")
    assert (told["offsets"], told["retry_after_s"]) == ({}, 5.0)


def test_once_the_storage_answers_logs_are_read_and_written_again(
    deps: Deps, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bounded_logs, "MOST_HANGING", 2)
    store, replica = LogStore(tmp_path.as_uri()), "replica_" + "0" * 32
    logs = BoundedLogs(store, WAIT_S)
    logs.write(ReplicaId(replica), 0, b"one")
    (chunk,) = (tmp_path / "logs" / replica).iterdir()
    chunk.rename(tmp_path / "kept")
    os.mkfifo(chunk)
    for _ in range(2):
        with pytest.raises(Unavailable):
            logs.read(ReplicaId(replica), 0, 3)
    began = time.monotonic()
    with pytest.raises(Unavailable):
        logs.read(ReplicaId(replica), 0, 3)
    assert time.monotonic() - began < WAIT_S, "two hang already: nobody waits for a third"
    end = os.open(chunk, os.O_RDWR | os.O_NONBLOCK)
    chunk.unlink()
    (tmp_path / "kept").rename(chunk)
    os.write(end, b"x" * 6)
    deadline = time.monotonic() + 5
    while True:
        try:
            assert logs.read(ReplicaId(replica), 0, 3) == b"one"
            break
        except Unavailable:
            assert time.monotonic() < deadline
            time.sleep(0.02)
    os.close(end)
    logs.write(ReplicaId(replica), 3, b"two")
    assert store.read(ReplicaId(replica), 0, 9) == b"onetwo"
