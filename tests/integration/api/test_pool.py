"""Nodes, chips, queues and endpoints over the API: what is there, what is free, who holds it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from sqlalchemy import event
from starlette.testclient import TestClient

from control_plane.clock import ManualClock
from control_plane.services.deps import Deps
from control_plane.services.nodes.count import count_pool
from penstock.api.assignments import SpeedReport
from penstock.api.ids import NodeId
from tests.integration.api.world import GIB, chip, join, place, submit

pytestmark = pytest.mark.integration


def test_a_node_shows_what_is_free(api_client: TestClient, deps: Deps) -> None:
    agent = join(api_client, "a", chip("c0"), chip("c1"), chip("c2", "emulated-910b"))
    chips = api_client.get("/api/v1/chips?type=emulated-a100").json()["items"]
    job = submit(api_client, name="one", resources={"chips": 1})["id"]
    place(deps, job, agent, chips[0]["id"])
    node = api_client.get("/api/v1/nodes/a").json()
    assert (node["cores_milli"], node["free_cores_milli"]) == (4000, 3500)
    assert node["free_memory_bytes"] == 8 * GIB - GIB // 4
    assert node["chips"] == {"emulated-910b": 1, "emulated-a100": 2}
    assert (node["health"]["state"], node["intent"]["state"]) == ("ready", "schedulable")
    seen = {one["id"]: one for one in api_client.get("/api/v1/chips?node=a").json()["items"]}
    assert (seen[chips[0]["id"]]["free_milli"], seen[chips[1]["id"]]["free_milli"]) == (0, 1000)
    assert api_client.get(f"/api/v1/chips/{chips[0]['id']}").json()["held_by"] == ["one"]
    types = {one["type"]: one for one in api_client.get("/api/v1/chip-types").json()["items"]}
    assert (types["emulated-a100"]["total"], types["emulated-a100"]["free_milli"]) == (2, 1000)
    assert types["emulated-910b"]["emulated"] is True
    assert types["emulated-910b"]["verified"] is False


def test_an_intent_honours_the_etag(api_client: TestClient, deps: Deps) -> None:
    agent = join(api_client, "a")
    seen = api_client.get("/api/v1/nodes/a").headers["etag"]
    first = api_client.post("/api/v1/nodes/a/cordon", headers={"If-Match": seen})
    assert first.json()["intent"]["state"] == "cordoned"
    late = api_client.post("/api/v1/nodes/a/uncordon", headers={"If-Match": seen})
    assert (late.status_code, late.json()["code"]) == (412, "precondition_failed")
    now = first.headers["etag"]
    again = api_client.post("/api/v1/nodes/a/uncordon", headers={"If-Match": now})
    assert again.json()["intent"]["state"] == "schedulable"
    (replica,) = place(deps, submit(api_client)["id"], agent)
    refused = api_client.post("/api/v1/nodes/a/retire")
    assert (refused.status_code, refused.json()["code"]) == (409, "runs_replicas")
    agent.end(replica)
    assert api_client.post("/api/v1/nodes/a/drain").json()["intent"]["state"] == "cordoned"
    assert api_client.post("/api/v1/nodes/a/retire").json()["intent"]["state"] == "retired"


def test_what_is_retired_is_shown_on_request_only(api_client: TestClient, deps: Deps) -> None:
    for name in ("here", "gone"):
        join(api_client, name, chip("c0"))
    api_client.post("/api/v1/nodes/gone/cordon")
    assert api_client.post("/api/v1/nodes/gone/retire").status_code == 200

    def listed(path: str, name: str) -> list[str]:
        return [it[name] for it in api_client.get(f"/api/v1/{path}").json()["items"]]

    assert (listed("nodes", "name"), listed("chips", "node")) == (["here"], ["here"])
    assert listed("nodes?retired=true", "name") == ["gone", "here"]
    assert sorted(listed("chips?retired=true", "node")) == ["gone", "here"]
    assert listed("chips?node=gone", "node") == ["gone"], "who names it wants to see it"
    assert api_client.get("/api/v1/nodes/gone").json()["intent"]["state"] == "retired"
    counted = count_pool(deps)
    assert list(counted.heartbeat_age_s) == ["here"], "nobody waits to hear of it"
    assert sum(counted.chips.values()) == 1


def test_a_queue_is_made_changed_and_guarded(api_client: TestClient) -> None:
    made = api_client.put("/api/v1/queues/fast", json={"limits": {"any": 4}})
    assert (made.status_code, made.headers["location"]) == (201, "/api/v1/queues/fast")
    seen = made.headers["etag"]
    changed = api_client.put(
        "/api/v1/queues/fast", json={"limits": {"emulated-a100": 2}}, headers={"If-Match": seen}
    )
    assert (changed.status_code, changed.json()["limits"]) == (200, {"emulated-a100": 2})
    late = api_client.put("/api/v1/queues/fast", json={}, headers={"If-Match": seen})
    assert late.status_code == 412
    unborn = api_client.put("/api/v1/queues/new", json={}, headers={"If-Match": seen})
    assert unborn.status_code == 412
    names = [queue["name"] for queue in api_client.get("/api/v1/queues").json()["items"]]
    assert names == ["default", "fast"]


def test_a_queue_shows_use_and_waiting(
    api_client: TestClient, deps: Deps, clock: ManualClock
) -> None:
    agent = join(api_client, "a", chip("c0"))
    (held,) = api_client.get("/api/v1/chips").json()["items"]
    running = submit(api_client, name="runs", resources={"chips": 1})["id"]
    place(deps, running, agent, held["id"])
    submit(api_client, name="waits")
    clock.advance(9)
    submit(api_client, name="waits-less")
    queue = api_client.get("/api/v1/queues/default").json()
    assert (queue["waiting"], queue["running"], queue["oldest_wait_s"]) == (2, 1, 9.0)
    assert queue["used"] == {"emulated-a100": 1.0}


def test_a_share_of_a_chip_is_shown_as_one_everywhere(api_client: TestClient, deps: Deps) -> None:
    agent = join(api_client, "a", chip("c0"))
    (held,) = api_client.get("/api/v1/chips").json()["items"]
    half = submit(api_client, name="half", resources={"share": 0.5, "chip": "emulated-a100"})
    assert half["asked"] == {"emulated-a100": 0.5}
    tenths = submit(api_client, resources={"share": 0.1}, task={"command": ["true"], "replicas": 3})
    assert tenths["asked"] == {"any": 0.3}
    spec: dict[str, Any] = {"type": "serve", "task": None}
    served = submit(
        api_client, **spec, serve={"model": "m", "replicas": 2}, resources={"share": 0.5}
    )
    assert served["asked"] == {"any": 1.0}
    place(deps, half["id"], agent, held["id"], milli=500)
    assert api_client.get("/api/v1/chips").json()["items"][0]["free_milli"] == 500
    assert api_client.get("/api/v1/chip-types").json()["items"][0]["free_milli"] == 500
    assert api_client.get("/api/v1/queues/default").json()["used"] == {"emulated-a100": 0.5}
    assert api_client.get("/api/v1/jobs/half").json()["chips"][0]["milli"] == 500


def test_an_endpoint_lists_who_can_answer(api_client: TestClient, deps: Deps) -> None:
    agent = join(api_client, "a", chip("c0"))
    (held,) = api_client.get("/api/v1/chips").json()["items"]
    spec: dict[str, Any] = {"type": "serve", "task": None, "serve": {"model": "folder"}}
    job = submit(api_client, name="chat", **spec)["id"]
    (replica,) = place(deps, job, agent, held["id"])
    speed = SpeedReport(work_class="serve/x", value=12.5).model_dump()
    agent.report(replica, "running", address="127.0.0.1:5000", ready=True, speed=speed)
    shown = api_client.get("/api/v1/endpoints/chat").json()
    assert shown["job"] == "chat"
    (one,) = shown["replicas"]
    assert (one["ready"], one["weight"], one["chip_type"]) == (True, 12.5, "emulated-a100")
    assert one["address"] == "127.0.0.1:5000"
    with deps.store.write() as tx:
        node = tx.nodes.get(NodeId(agent.node_id))
        assert node is not None
        node.health = "suspect"
    (one,) = api_client.get("/api/v1/endpoints").json()["items"][0]["replicas"]
    assert one["ready"] is False, "a replica on a silent node gets no requests"


def test_long_lists_take_as_many_queries_as_short_ones(api_client: TestClient, deps: Deps) -> None:
    paths = [
        "jobs",
        "nodes",
        "chips",
        "queues",
        "replicas",
        "endpoints",
        "events",
        "chip-types",
        "speeds",
        "tokens",
        "projects",
        "cycles",
    ]
    spec: dict[str, Any] = {"type": "serve", "task": None, "serve": {"model": "folder"}}

    def grow(name: str) -> None:
        agent = join(api_client, name, chip("c0"), chip("c1"))
        held = api_client.get(f"/api/v1/chips?node={name}").json()["items"]
        place(deps, submit(api_client, name=name)["id"], agent, held[0]["id"])
        place(deps, submit(api_client, name=f"s{name}", **spec)["id"], agent, held[1]["id"])
        api_client.post("/api/v1/projects", json={"name": name})
        api_client.put(f"/api/v1/queues/{name}", json={})

    def counted() -> dict[str, int]:
        found = {}
        for path in paths:
            api_client.get("/api/v1/whoami")  # the caller is known for a while, and not looked up
            with _queries(deps) as count:
                assert api_client.get(f"/api/v1/{path}").status_code == 200, path
            found[path] = len(count)
        return found

    grow("a")
    few = counted()
    for name in ("b", "c", "d"):
        grow(name)
    assert counted() == few
    assert max(few.values()) <= 7


@contextmanager
def _queries(deps: Deps) -> Iterator[list[str]]:
    seen: list[str] = []

    def note(*arguments: Any) -> None:
        if not arguments[2].startswith("BEGIN"):
            seen.append(arguments[2])

    engine = deps.store.database.engine
    event.listen(engine, "before_cursor_execute", note)
    yield seen
    event.remove(engine, "before_cursor_execute", note)


@pytest.mark.parametrize("name", ["bad%20name!", "a" * 64, "-a"])
def test_a_new_queue_with_a_bad_name_is_told_the_rule(api_client: TestClient, name: str) -> None:
    answer = api_client.put(f"/api/v1/queues/{name}", json={"limits": {"any": 1}})
    assert answer.status_code == 422
    assert "63" in answer.json()["detail"]
    assert api_client.get(f"/api/v1/queues/{name}").status_code == 404
