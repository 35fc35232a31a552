"""A cursor opens the list that it came from, and no other."""

from __future__ import annotations

import pytest
from starlette.testclient import TestClient

from control_plane.services.deps import Deps
from control_plane.services.scheduling.cycle import run_cycle
from tests.fakes.leading import lead
from tests.integration.api.world import chip, headers, join, new_project, place, submit

pytestmark = pytest.mark.integration

LISTS = [
    "jobs", "jobs?sort=created_at", "jobs?queue=default", "jobs?state=running", "jobs?label=k%3D1",
    "jobs?project=default", "nodes", "nodes?retired=true", "chips", "chips?node=a",
    "chips?vendor=emulated", "chips?retired=true", "queues", "replicas", "replicas?node=a",
    "jobs/one/replicas", "jobs/two/replicas", "endpoints", "endpoints?state=pending", "tokens",
    "projects", "events", "events?sort=at", "jobs/one/events", "jobs/two/events",
    "jobs/one/checkpoints",
]  # fmt: skip


@pytest.fixture
def filled(api_client: TestClient, deps: Deps) -> TestClient:
    """At least two of everything, so that a page of one has a next."""
    for node in ("a", "b"):
        join(api_client, node, chip("c0"), chip("c1"))
        api_client.put(f"/api/v1/queues/{node}", json={})
        new_project(api_client, f"p-{node}")
        serve = {"type": "serve", "task": None, "serve": {"model": "folder"}}
        submit(api_client, name=f"s-{node}", **serve)
    agent = join(api_client, "c")
    for name in ("one", "two"):
        task = {"command": ["true"], "replicas": 2}
        job = submit(api_client, name=name, labels={"k": "1"}, task=task)["id"]
        replicas = place(deps, job, agent, ranks=2)
        for step in (1, 2):
            commit = {"replica_id": replicas[0], "epoch": 1, "step": step}
            commit["uri"] = f"{deps.storage}/jobs/{job}/step-{step}"
            agent.post("checkpoints", {**commit, "manifest_sha256": "0" * 64})
    return api_client


def _path(name: str, cursor: str) -> str:
    return f"/api/v1/{name}{'&' if '?' in name else '?'}limit=1&cursor={cursor}"


def _cursors(client: TestClient, names: list[str]) -> dict[str, str]:
    found = {}
    for name in names:
        page = client.get(f"/api/v1/{name}{'&' if '?' in name else '?'}limit=1")
        assert page.status_code == 200, page.text
        if page.json()["next"]:
            found[name] = page.json()["next"]
    return found


def test_a_cursor_of_another_list_order_or_filter_is_refused(filled: TestClient) -> None:
    cursors = _cursors(filled, LISTS)
    assert len(cursors) >= len(LISTS) - 2, set(LISTS) - cursors.keys()
    for name in LISTS:
        for other, cursor in cursors.items():
            answer = filled.get(_path(name, cursor))
            if name == other:
                assert answer.status_code == 200, name
                continue
            assert answer.status_code == 422, (name, other)
            problem = answer.json()
            assert problem["code"] == "bad_cursor"
            assert "belongs to another list" in problem["detail"]
            assert [it["pointer"] for it in problem["errors"]] == ["?cursor"]


def test_a_cursor_of_another_tenant_is_refused(filled: TestClient) -> None:
    theirs = headers(new_project(filled, "theirs"))
    cursor = _cursors(filled, ["jobs"])["jobs"]
    assert filled.get(_path("jobs", cursor), headers=theirs).json()["code"] == "bad_cursor"


def test_the_same_labels_in_another_order_are_the_same_list(filled: TestClient) -> None:
    for name in ("x", "y"):
        submit(filled, name=name, labels={"a": "1", "b": "2"})
    page = filled.get("/api/v1/jobs?label=a%3D1&label=b%3D2&limit=1").json()
    rest = filled.get(_path("jobs?label=b%3D2&label=a%3D1", page["next"]))
    assert [job["name"] for job in rest.json()["items"]] == ["x"]


def test_pages_of_cycles_go_on(filled: TestClient, deps: Deps) -> None:
    epoch = lead(deps)
    assert epoch is not None
    for name in ("x", "y"):
        submit(filled, name=name)
        run_cycle(deps, epoch, "test")
    cursor = _cursors(filled, ["cycles"])["cycles"]
    assert filled.get(_path("cycles", cursor)).status_code == 200
    assert filled.get(_path("jobs", cursor)).json()["code"] == "bad_cursor"
