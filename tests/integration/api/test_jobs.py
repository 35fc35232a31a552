"""Jobs over the API, on both databases: made, found, listed, ended, made again."""

from __future__ import annotations

from itertools import pairwise

import pytest
from starlette.testclient import TestClient

from control_plane.clock import ManualClock
from control_plane.services.deps import Deps
from tests.integration.api.world import TASK, chip, join, place, submit

pytestmark = pytest.mark.integration


def test_a_submitted_job_is_there(api_client: TestClient) -> None:
    made = api_client.post("/api/v1/jobs", json={**TASK, "name": "hello"})
    assert made.status_code == 201, made.text
    job = made.json()
    assert made.headers["location"] == f"/api/v1/jobs/{job['id']}"
    assert (job["state"], job["project"], job["queue"]) == ("queued", "default", "default")
    for ref in (job["id"], "hello"):
        assert api_client.get(f"/api/v1/jobs/{ref}").json()["id"] == job["id"]


def test_a_yaml_body_is_the_same_job(api_client: TestClient) -> None:
    text = "type: task\ntask: {command: [echo, 'on', yes, 012]}\nresources: {chips: 2..2}\n"
    answer = api_client.post(
        "/api/v1/jobs", content=text, headers={"Content-Type": "application/yaml"}
    )
    assert answer.status_code == 422  # 012 is a number, and a command is text
    assert answer.json()["errors"][0]["pointer"] == "/task/command/3"
    answer = api_client.post(
        "/api/v1/jobs",
        content=text.replace(", 012", ""),
        headers={"Content-Type": "application/yaml; charset=utf-8"},
    )
    assert answer.json()["spec"]["task"]["command"] == ["echo", "on", "yes"]
    assert answer.json()["asked"] == {"any": 2}


def test_the_same_key_is_the_same_job(api_client: TestClient) -> None:
    key = {"Idempotency-Key": "k-1"}
    first = api_client.post("/api/v1/jobs", json=TASK, headers=key)
    again = api_client.post("/api/v1/jobs", json=TASK, headers=key)
    assert (first.status_code, again.status_code) == (201, 200)
    assert first.json()["id"] == again.json()["id"]
    other = api_client.post("/api/v1/jobs", json={**TASK, "priority": 1}, headers=key)
    assert (other.status_code, other.json()["code"]) == (409, "idempotency_key_reused")


def test_pages_hold_every_job_once(api_client: TestClient) -> None:
    made = [submit(api_client)["id"] for _ in range(7)]
    for sort, wanted in (("created_at", made), ("-created_at", made[::-1])):
        seen: list[str] = []
        cursor = None
        for _ in range(4):
            params: dict[str, str | int] = {"limit": 2, "sort": sort}
            if cursor:
                params["cursor"] = cursor
            page = api_client.get("/api/v1/jobs", params=params).json()
            seen += [job["id"] for job in page["items"]]
            cursor = page["next"]
        assert (seen, cursor) == (wanted, None)


def test_filters_choose(api_client: TestClient, deps: Deps) -> None:
    agent = join(api_client, "a", chip("c0"))
    a = submit(api_client, name="a", labels={"team": "x", "k": "1"})["id"]
    b = submit(api_client, name="b", labels={"team": "y"})["id"]
    api_client.post("/api/v1/jobs/b/cancel")
    place(deps, a, agent, api_client.get("/api/v1/chips").json()["items"][0]["id"])

    def found(query: str) -> list[str]:
        return [job["id"] for job in api_client.get(f"/api/v1/jobs?{query}").json()["items"]]

    assert found("label=team=x&label=k=1") == [a]
    assert found("label=team=x&label=k=2") == []
    assert found("state=cancelled") == [b]
    assert found("state=cancelled&state=starting") == [b, a]
    assert found("chip_vendor=emulated") == [a]
    assert found("chip_vendor=nvidia") == []
    assert found("type=task&queue=default&project=default") == [b, a]
    assert found("type=serve") == []


def test_a_job_shows_what_it_holds_and_how_long(
    api_client: TestClient, deps: Deps, clock: ManualClock
) -> None:
    agent = join(api_client, "a", chip("c0"), chip("c1", "emulated-910b"))
    chips = [one["id"] for one in api_client.get("/api/v1/chips").json()["items"]]
    job = submit(api_client, name="held", resources={"chips": 2})["id"]
    clock.advance(5)
    (replica,) = place(deps, job, agent, *chips)
    agent.report(replica, "running", address="127.0.0.1:5000")
    clock.advance(7)
    view = api_client.get(f"/api/v1/jobs/{job}").json()
    assert {(one["type"], one["node"], one["milli"]) for one in view["chips"]} == {
        ("emulated-a100", "a", 1000),
        ("emulated-910b", "a", 1000),
    }
    assert (view["state"], view["attempt"], view["asked"]) == ("running", 1, {"any": 2})
    assert (view["waited_s"], view["ran_s"]) == (5.0, 7.0)
    agent.end(replica)
    view = api_client.get(f"/api/v1/jobs/{job}").json()
    assert (view["state"], view["chips"], view["exit_code"]) == ("succeeded", [], 0)


def test_replicas_and_checkpoints_of_a_job(api_client: TestClient, deps: Deps) -> None:
    agent = join(api_client, "a")
    job = submit(api_client, name="gang", task={"command": ["true"], "replicas": 3})["id"]
    replicas = place(deps, job, agent, ranks=3)
    commit = {"replica_id": replicas[0], "epoch": 1, "step": 7}
    commit["uri"] = f"{deps.storage}/jobs/{job}/step-7"
    made = agent.post("checkpoints", {**commit, "manifest_sha256": "0" * 64})
    page = api_client.get("/api/v1/jobs/gang/replicas?limit=2").json()
    rest = api_client.get(f"/api/v1/jobs/gang/replicas?limit=2&cursor={page['next']}").json()
    assert {one["id"] for one in page["items"] + rest["items"]} == set(replicas)
    assert {one["rank"] for one in page["items"] + rest["items"]} == {0, 1, 2}
    one = api_client.get(f"/api/v1/replicas/{replicas[0]}").json()
    assert (one["job"], one["node"], one["world_size"]) == ("gang", "a", 3)
    assert len(api_client.get("/api/v1/replicas?node=a&job=gang").json()["items"]) == 3
    kept = api_client.get("/api/v1/jobs/gang/checkpoints").json()["items"]
    assert [(row["id"], row["step"]) for row in kept] == [(made["checkpoint_id"], 7)]
    old = agent.post("checkpoints", {**commit, "epoch": 0, "manifest_sha256": "0" * 64}, 409)
    assert old["code"] == "stale_epoch"


def test_cancelling_is_idempotent_and_retry_makes_a_new_job(api_client: TestClient) -> None:
    job = submit(api_client, name="gone")["id"]
    assert api_client.post("/api/v1/jobs/gone/retry").json()["code"] == "job_not_ended"
    for _ in range(2):
        answer = api_client.post("/api/v1/jobs/gone/cancel")
        assert (answer.status_code, answer.json()["state"]) == (202, "cancelled")
    key = {"Idempotency-Key": "r-1"}
    again = api_client.post(f"/api/v1/jobs/{job}/retry", headers=key)
    assert again.status_code == 201
    repeated = api_client.post(f"/api/v1/jobs/{job}/retry", headers=key)
    assert (repeated.status_code, repeated.json()["id"]) == (200, again.json()["id"])
    assert (again.json()["retry_of"], again.json()["name"]) == (job, "gone")
    assert again.headers["location"].endswith(again.json()["id"])


def test_an_unchanged_answer_is_not_sent_again(api_client: TestClient, clock: ManualClock) -> None:
    submit(api_client, name="same")
    for path in ("/api/v1/jobs/same", "/api/v1/jobs", "/api/v1/queues"):
        etag = api_client.get(path).headers["etag"]
        clock.advance(3)  # a job that has waited longer is still the same job
        again = api_client.get(path, headers={"If-None-Match": etag})
        assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", etag)
    api_client.post("/api/v1/jobs/same/cancel")
    etag = f'{etag}, "other"'
    assert api_client.get("/api/v1/jobs", headers={"If-None-Match": etag}).status_code == 200


def test_events_of_a_job_have_no_gap(api_client: TestClient) -> None:
    submit(api_client, name="told")
    api_client.post("/api/v1/jobs/told/cancel")
    first = api_client.get("/api/v1/jobs/told/events?limit=1").json()
    rest = api_client.get(f"/api/v1/jobs/told/events?cursor={first['next']}").json()
    events = first["items"] + rest["items"]
    assert [event["seq"] for event in events] == list(range(1, len(events) + 1))
    assert [event["type"] for event in events][:1] == ["job.queued"]
    assert "job.cancelled" in [event["type"] for event in events]
    everything = api_client.get("/api/v1/events?sort=at&limit=500").json()["items"]
    assert all(a["id"] < b["id"] for a, b in pairwise(everything))
    assert {event["project"] for event in events} == {"default"}
