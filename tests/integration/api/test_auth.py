"""Who may call what: one test over the whole route table, and the life of a token."""

from __future__ import annotations

import re

import pytest
from fastapi.routing import APIRoute
from starlette.testclient import TestClient

from control_plane.api.app import api_routes
from control_plane.api.deps import NODE, PUBLIC
from control_plane.api.route import policy_of
from control_plane.clock import ManualClock
from control_plane.services.accounts.known_callers import REMEMBER_S
from control_plane.services.accounts.tokens import ensure_admin
from control_plane.services.deps import Deps
from penstock.api.states import Role
from tests.integration.api.world import headers, join, new_project, new_token

pytestmark = pytest.mark.integration

OPEN = {"about", "about_api", "healthz", "readyz", "enrol_node"}
VIEWERS_DO = {
    "whoami", "plan_job", "list_jobs", "get_job", "explain_job", "list_job_replicas",
    "list_checkpoints", "get_job_logs", "list_events", "list_job_events", "list_replicas",
    "get_replica", "list_nodes", "get_node", "list_chips", "get_chip", "list_chip_types",
    "list_queues", "get_queue", "list_speeds", "list_endpoints", "get_endpoint", "list_projects",
    "revoke_token", "follow_changes",
}  # fmt: skip
MEMBERS_DO = {"submit_job", "cancel_job", "retry_job"}


def test_the_policy_of_every_route_is_as_agreed() -> None:
    """What is in none of the lists is an administrator's or a node's."""
    for route in api_routes():
        needs, name = policy_of(route).needs, route.operation_id
        assert name
        if name in OPEN:
            assert needs == PUBLIC, name
        elif route.path.startswith("/api/v1/agent/"):
            assert needs == NODE, name
        elif name in VIEWERS_DO:
            assert needs is Role.VIEWER, name
        else:
            assert needs is (Role.MEMBER if name in MEMBERS_DO else Role.ADMIN), name


def test_every_route_refuses_every_wrong_credential(
    api_client: TestClient, deps: Deps, clock: ManualClock
) -> None:
    viewer = new_token(api_client, "default", "viewer")
    expired = new_token(api_client, "default", expires_in="1m")
    revoked = new_token(api_client, "default", name="revoked")
    assert api_client.delete("/api/v1/tokens/revoked").status_code == 204
    node = join(api_client, "a").secret
    clock.advance(61)
    api_client.headers.pop("authorization")
    wrong = {
        "none": ({}, 401), "empty": ({"Authorization": "Bearer "}, 401),
        "basic": ({"Authorization": "Basic YTpi"}, 401), "bad": (headers("pst_" + "x" * 43), 401),
        "long": (headers("x" * 5000), 401), "expired": (headers(expired), 401),
        "revoked": (headers(revoked), 401),
    }  # fmt: skip
    for route in api_routes():
        needs = policy_of(route).needs
        if needs == PUBLIC:
            continue
        cases = {**wrong, "other kind": (headers(viewer if needs == NODE else node), 401)}
        if needs in (Role.MEMBER, Role.ADMIN):
            cases["viewer"] = (headers(viewer), 403)
        for case, (credential, status) in cases.items():
            _refused(api_client, route, case, credential, status)


def _refused(
    client: TestClient, route: APIRoute, case: str, credential: dict[str, str], status: int
) -> None:
    (method,) = route.methods or {"GET"}
    path = re.sub(r"\{\w+\}", "anything", route.path)
    answer = client.request(method, path, headers=credential, content=b"{broken")
    told = f"{route.operation_id} with {case}: {answer.status_code} {answer.text}"
    assert answer.status_code == status, told
    assert answer.headers["content-type"] == "application/problem+json", told
    assert answer.json()["request_id"] == answer.headers["x-request-id"]
    if status == 401:
        assert answer.headers["www-authenticate"].startswith("Bearer"), told


def test_revocation_counts_at_once(api_client: TestClient) -> None:
    secret = new_token(api_client, "default", name="short")
    assert api_client.get("/api/v1/whoami", headers=headers(secret)).status_code == 200
    api_client.delete("/api/v1/tokens/short")
    answer = api_client.get("/api/v1/whoami", headers=headers(secret))
    assert (answer.status_code, answer.json()["code"]) == (401, "token_revoked")
    assert REMEMBER_S <= 5, "elsewhere it is remembered for less than five seconds"


def test_expiry_counts_although_the_token_is_remembered(
    api_client: TestClient, clock: ManualClock
) -> None:
    secret = new_token(api_client, "default", expires_in=30)
    assert api_client.get("/api/v1/whoami", headers=headers(secret)).status_code == 200
    clock.advance(31)
    assert api_client.get("/api/v1/whoami", headers=headers(secret)).status_code == 401


def test_a_secret_is_shown_once_and_kept_as_a_hash(api_client: TestClient, deps: Deps) -> None:
    made = api_client.post(
        "/api/v1/tokens", json={"name": "t", "role": "viewer", "project": "default"}
    )
    secret = made.json()["secret"]
    assert made.headers["cache-control"] == "no-store"
    listed = api_client.get("/api/v1/tokens").text + api_client.get("/api/v1/events").text
    assert secret not in listed
    with deps.store.read() as tx:
        row = tx.tokens.get(made.json()["id"])
        assert row is not None
        assert secret not in repr(row.__dict__)


def test_the_first_administrator_is_made_once(deps: Deps, admin_secret: str) -> None:
    assert admin_secret.startswith("pst_")
    assert ensure_admin(deps) is None


def test_the_last_administrator_stays(api_client: TestClient) -> None:
    refused = api_client.delete("/api/v1/tokens/admin")
    assert (refused.status_code, refused.json()["code"]) == (409, "last_admin")


def test_others_revoke_only_their_own_token(api_client: TestClient) -> None:
    secret = new_project(api_client, "mine")
    other = new_token(api_client, "default", name="other")
    denied = api_client.delete("/api/v1/tokens/other", headers=headers(secret))
    absent = api_client.delete("/api/v1/tokens/absent", headers=headers(secret))
    assert denied.status_code == absent.status_code == 403
    assert denied.json()["detail"] == absent.json()["detail"]
    own = api_client.delete("/api/v1/tokens/member-mine", headers=headers(secret))
    assert own.status_code == 204
    assert api_client.get("/api/v1/whoami", headers=headers(other)).status_code == 200


def test_a_token_names_its_project(api_client: TestClient) -> None:
    for body, pointer in (
        ({"name": "t", "role": "viewer"}, "/project"),
        ({"name": "t", "role": "admin", "project": "default"}, "/project"),
        ({"name": "t", "role": "admin", "expires_in": 0}, "/expires_in"),
        ({"name": "T", "role": "root"}, "/name"),
    ):
        answer = api_client.post("/api/v1/tokens", json=body)
        assert answer.status_code == 422
        assert answer.json()["errors"][0]["pointer"] == pointer
    answer = api_client.post("/api/v1/tokens", json={"name": "t", "project": "absent"})
    assert (answer.status_code, answer.json()["code"]) == (404, "project_not_found")
    assert "penstock project create absent" in answer.json()["hint"]
