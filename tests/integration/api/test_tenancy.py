"""Another tenant's object is as if it were not: same status, same body, everywhere."""

from __future__ import annotations

import pytest
from starlette.testclient import TestClient

from control_plane.services.deps import Deps
from tests.integration.api.world import TASK, chip, headers, join, new_project, place, submit

pytestmark = pytest.mark.integration


def test_foreign_and_absent_objects_look_the_same(api_client: TestClient, deps: Deps) -> None:
    agent = join(api_client, "a", chip("c0"))
    (held,) = api_client.get("/api/v1/chips").json()["items"]
    serve = {"type": "serve", "serve": {"model": "folder"}, "task": None}
    foreign = submit(api_client, name="theirs")
    endpoint = api_client.post("/api/v1/jobs", json={**serve, "name": "served"})
    assert endpoint.status_code == 201, endpoint.text
    (replica,) = place(deps, foreign["id"], agent, held["id"])
    member = headers(new_project(api_client, "mine"))

    def seen(method: str, path: str) -> tuple[int, str]:
        answer = api_client.request(method, path, headers={**member, "X-Request-Id": "same"})
        return answer.status_code, answer.text

    for method, path in (
        ("GET", "jobs/{}"),
        ("POST", "jobs/{}/cancel"),
        ("POST", "jobs/{}/retry"),
        ("GET", "jobs/{}/events"),
        ("GET", "jobs/{}/logs"),
        ("GET", "jobs/{}/replicas"),
        ("GET", "jobs/{}/checkpoints"),
        ("GET", "replicas?job={}"),
        ("GET", "replicas/{}"),
        ("GET", "endpoints/{}"),
        ("GET", "jobs?project={}"),
    ):
        theirs = {"replicas/{}": replica, "endpoints/{}": "served", "jobs?project={}": "default"}
        name = theirs.get(path, "theirs")
        status, body = seen(method, "/api/v1/" + path.format(name))
        same = seen(method, "/api/v1/" + path.format("absent"))
        assert status == 404, (path, body)
        assert (status, body.replace(name, "absent")) == same, path


def test_lists_hold_the_callers_own_only(api_client: TestClient, deps: Deps) -> None:
    agent = join(api_client, "a", chip("c0"))
    (held,) = api_client.get("/api/v1/chips").json()["items"]
    theirs = submit(api_client, name="theirs")
    place(deps, theirs["id"], agent, held["id"])
    member = headers(new_project(api_client, "mine"))
    mine = api_client.post("/api/v1/jobs", json={**TASK, "name": "own"}, headers=member).json()
    assert mine["project"] == "mine"

    def listed(path: str) -> list[dict[str, object]]:
        items: list[dict[str, object]] = api_client.get(path, headers=member).json()["items"]
        return items

    assert [job["id"] for job in listed("/api/v1/jobs")] == [mine["id"]]
    assert listed("/api/v1/replicas") == []
    assert listed("/api/v1/endpoints") == []
    assert {event["project"] for event in listed("/api/v1/events?limit=500")} == {"mine"}
    assert [project["name"] for project in listed("/api/v1/projects")] == ["mine"]
    (shared,) = listed("/api/v1/chips")
    assert (shared["free_milli"], shared["held_by"]) == (0, [])  # taken, but by whom is not said
    assert api_client.get("/api/v1/chips").json()["items"][0]["held_by"] == ["theirs"]


def test_a_project_in_the_body_is_no_way_in(api_client: TestClient) -> None:
    member = headers(new_project(api_client, "mine"))
    for project in ("default", "absent"):
        answer = api_client.post("/api/v1/jobs", json={**TASK, "project": project}, headers=member)
        assert (answer.status_code, answer.json()["code"]) == (404, "project_not_found")
    assert api_client.post("/api/v1/jobs", json=TASK, headers=member).json()["project"] == "mine"


def test_the_same_name_in_two_projects_is_two_jobs(api_client: TestClient) -> None:
    member = headers(new_project(api_client, "mine"))
    body = {**TASK, "name": "twin"}
    mine = api_client.post("/api/v1/jobs", json=body, headers=member).json()
    theirs = api_client.post("/api/v1/jobs", json=body).json()
    assert mine["id"] != theirs["id"]
    assert api_client.get("/api/v1/jobs/twin", headers=member).json()["id"] == mine["id"]
    near = api_client.get("/api/v1/jobs/twi", headers=member)
    assert near.status_code == 404, "names match whole, never by their beginning"
