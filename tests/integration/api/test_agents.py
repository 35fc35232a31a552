"""The agents' protocol over the API: joining, the long poll, and speaking for oneself only."""

from __future__ import annotations

import threading
import time

import pytest
from starlette.testclient import TestClient

from control_plane.clock import ManualClock
from control_plane.services.deps import Deps
from tests.integration.api.world import Agent, headers, join, place, submit

pytestmark = pytest.mark.integration


def _assignments(agent: Agent, generation: int, wait_s: float) -> dict[str, object]:
    answer = agent.client.get(
        f"/api/v1/agent/assignments?generation={generation}&wait_s={wait_s}",
        headers=headers(agent.secret),
    )
    assert answer.status_code == 200, answer.text
    found: dict[str, object] = answer.json()
    return found


def test_a_join_token_opens_once(api_client: TestClient, clock: ManualClock) -> None:
    token = api_client.post("/api/v1/join-tokens", json={"expires_in": 60}).json()["token"]
    body = {"join_token": token, "name": "a", "inventory": {"cores_milli": 1, "memory_bytes": 1}}
    assert api_client.post("/api/v1/agent/enrol", json=body).status_code == 200
    again = api_client.post("/api/v1/agent/enrol", json={**body, "name": "b"})
    assert (again.status_code, again.json()["code"]) == (401, "bad_join_token")
    late = api_client.post("/api/v1/join-tokens", json={"expires_in": 60}).json()["token"]
    clock.advance(61)
    assert (
        api_client.post(
            "/api/v1/agent/enrol", json={**body, "name": "b", "join_token": late}
        ).status_code
        == 401
    )
    answer = api_client.post("/api/v1/join-tokens", json={"expires_in": "2h"})
    assert answer.status_code == 422, "an hour at most"


def test_the_list_comes_at_once_when_it_is_newer(api_client: TestClient) -> None:
    agent = join(api_client, "a")
    started = time.monotonic()
    found = _assignments(agent, 0, 5)
    assert time.monotonic() - started < 2
    assert found["assignments"] == []


def test_the_long_poll_wakes_on_change_and_ends_in_time(api_client: TestClient, deps: Deps) -> None:
    agent = join(api_client, "a")
    known = _assignments(agent, 0, 0)["generation"]
    assert isinstance(known, int)
    started = time.monotonic()
    assert _assignments(agent, known, 0.3)["generation"] == known
    assert 0.25 < time.monotonic() - started < 2

    job = submit(api_client, name="wanted")["id"]
    placing = threading.Timer(0.3, lambda: place(deps, job, agent))
    started = time.monotonic()
    placing.start()
    found = _assignments(agent, known, 15)
    placing.join()
    assert time.monotonic() - started < 5, "woken by the hint, not by the end of the wait"
    assert isinstance(found["assignments"], list)
    (assignment,) = found["assignments"]
    assert (assignment["job_name"], assignment["desired"]) == ("wanted", "run")


def test_a_node_speaks_for_itself_only(api_client: TestClient, deps: Deps) -> None:
    mine, other = join(api_client, "a"), join(api_client, "b")
    (replica,) = place(deps, submit(api_client)["id"], mine)
    refused = other.report(replica, "running")["refused"]
    assert refused == [{"replica_id": replica, "code": "not_yours"}]
    assert other.log(replica, 0, "x\n")["refused"][0]["code"] == "not_yours"
    held = {"replica_id": replica, "epoch": 1, "state": "running"}
    assert other.beat(replicas=[held])["stop"] == [replica]
    commit = {"replica_id": replica, "epoch": 1, "step": 1, "uri": "x"}
    assert other.post("checkpoints", {**commit, "manifest_sha256": "0" * 64}, 409)


def test_a_rotated_credential_replaces_the_old_one_once_used(api_client: TestClient) -> None:
    agent = join(api_client, "a")
    fresh = Agent(api_client, agent.node_id, agent.post("credential", {})["credential"])
    agent.beat()
    fresh.beat()
    agent.post("heartbeat", {"instance": "i", "generation": 0}, 401)


def test_log_gaps_and_overlaps_are_answered_with_the_offset(
    api_client: TestClient, deps: Deps
) -> None:
    agent = join(api_client, "a")
    job = submit(api_client)["id"]
    (replica,) = place(deps, job, agent)
    assert agent.log(replica, 0, "one\n")["offsets"] == {replica: 4}
    assert agent.log(replica, 9, "gap\n")["offsets"] == {replica: 4}
    assert agent.log(replica, 2, "e\ntwo\n")["offsets"] == {replica: 8}
    assert agent.log(replica, 0, "one\n")["offsets"] == {replica: 8}
    assert api_client.get(f"/api/v1/jobs/{job}/logs").text == "one\ntwo\n"


def test_a_node_that_is_retired_is_refused_at_once(api_client: TestClient) -> None:
    agent = join(api_client, "a")
    known = _assignments(agent, 0, 0)["generation"]
    assert isinstance(known, int)
    for word in ("cordon", "retire"):
        assert api_client.post(f"/api/v1/nodes/a/{word}").status_code == 200
    refused = api_client.get(
        f"/api/v1/agent/assignments?generation={known}&wait_s=0", headers=headers(agent.secret)
    )
    assert refused.status_code == 401
