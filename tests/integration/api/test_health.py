"""Alive, ready, and what is answered while the database is away."""

from __future__ import annotations

import time
from pathlib import Path
from threading import Event
from types import SimpleNamespace

import httpx
import pytest
from sqlalchemy.exc import OperationalError
from starlette.testclient import TestClient
from structlog.testing import capture_logs

from control_plane.api.app import build_api
from control_plane.clock import ManualClock
from control_plane.hints.hub import Hub
from control_plane.services.deps import Deps
from control_plane.services.health import read as read_health
from control_plane.services.scheduling.lead import resign
from control_plane.store.database.engine import Database
from control_plane.store.storage_probe import StorageProbe
from control_plane.store.unit_of_work import Store
from penstock import __version__
from tests.fakes.leading import lead
from tests.integration.conftest import BASE_URL

pytestmark = pytest.mark.integration


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_the_root_says_what_this_is_and_where_to_go_on(api_client: TestClient) -> None:
    for path in ("/", "/api/v1"):
        answer = api_client.get(path, headers={"Authorization": ""})
        assert answer.status_code == 200
        about = answer.json()
        assert (about["name"], about["version"]) == ("penstock", __version__)
        for link in ("api", "openapi", "health"):
            assert api_client.get(about["links"][link]).status_code == 200, link
    assert api_client.post("/").json()["code"] == "method_not_allowed"


def test_ready_once_a_scheduler_leads(
    api_client: TestClient, deps: Deps, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer = api_client.get("/readyz")
    assert (answer.status_code, answer.json()["code"]) == (503, "not_ready")
    assert answer.json()["errors"][0]["pointer"] == "/parts/scheduler"
    assert answer.headers["retry-after"]
    lead(deps)
    parts = api_client.get("/readyz").json()["parts"]
    assert {name: part["ok"] for name, part in parts.items()} == {
        "database": True,
        "migrations": True,
        "scheduler": True,
        "storage": True,
    }
    monkeypatch.setattr(
        read_health, "time", SimpleNamespace(monotonic=lambda: time.monotonic() + 7)
    )
    answer = api_client.get("/readyz")
    assert answer.json()["errors"][0]["message"] == "no scheduler leads since 7 s"
    monkeypatch.undo()
    clock.advance(3600 * 24)
    assert api_client.get("/readyz").status_code == 200, "no clock on a wall says who leads"
    resign(deps, "test")
    assert api_client.get("/readyz").status_code == 503
    assert api_client.get("/healthz").json()["status"] == "ok"


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_a_storage_that_takes_no_writes_is_told_and_the_server_stays_ready(
    api_client: TestClient, deps: Deps, tmp_path: Path
) -> None:
    lead(deps)
    (tmp_path / "storage").mkdir()
    (tmp_path / "storage" / "logs").write_text("no folder")
    answer = api_client.get("/readyz")
    assert (answer.status_code, answer.json()["status"]) == (200, "degraded")
    part = answer.json()["parts"]["storage"]
    assert part == {"ok": False, "message": "takes no writes: not a directory"}


def test_the_storage_is_tried_seldom() -> None:
    tries: list[int] = []
    probe = StorageProbe(remember_s=60.0)
    assert [probe.look(lambda: tries.append(1)).ok for _ in range(3)] == [True] * 3
    assert len(tries) == 1
    eager = StorageProbe(remember_s=0.0)
    for _ in range(3):
        eager.look(lambda: tries.append(1))
        time.sleep(0.001)
    assert len(tries) == 4


def test_a_storage_that_hangs_is_told_in_time_and_tried_once_until_it_answers() -> None:
    released, tries = Event(), list[int]()

    def write() -> None:
        tries.append(1)
        released.wait(30)

    probe = StorageProbe(wait_s=0.05, remember_s=0.0)
    found = [probe.look(write) for _ in range(3)]
    assert {it.message for it in found} == {"has not finished a write for 0 s"}
    assert len(tries) == 1
    released.set()
    until_s = time.monotonic() + 10
    while not probe.look(write).ok:
        assert time.monotonic() < until_s


def test_a_database_that_is_away_is_a_503(
    api_client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(_database: Database, _lane: object = None) -> None:
        raise OperationalError("select", {}, Exception("secret host is down"))

    monkeypatch.setattr(Database, "reading", away)
    answer = api_client.get("/api/v1/jobs/x")
    problem = answer.json()
    assert (answer.status_code, problem["code"]) == (503, "database_unavailable")
    assert problem["retryable"] is True
    assert "secret host" not in answer.text
    assert api_client.get("/readyz").json()["errors"][0]["pointer"] == "/parts/database"


def test_a_fault_of_ours_tells_no_more_than_its_id(
    api_client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(_store: Store) -> None:
        raise ZeroDivisionError("inner secret")

    monkeypatch.setattr(Store, "read", broken)
    with capture_logs() as logged:
        answer = api_client.get("/api/v1/jobs/x")
    assert (answer.status_code, answer.json()["code"]) == (500, "internal")
    (entry,) = [one for one in logged if one["event"] == "request_failed"]
    assert entry["request_id"] == answer.json()["request_id"]
    assert isinstance(entry["exc_info"], ZeroDivisionError)
    assert answer.json()["request_id"] == answer.headers["x-request-id"]
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert "inner secret" not in answer.text
    assert "Traceback" not in answer.text


def test_without_authentication_only_this_machine_may_ask(deps: Deps, hub: Hub) -> None:
    with TestClient(build_api(deps, hub, auth=False), BASE_URL) as client:
        assert client.get("/api/v1/whoami").json()["role"] == "admin"
        for sent in (
            {"Host": "evil.example"},
            {"Host": "[::1"},
            {"Origin": "http://evil.example"},
            {"Sec-Fetch-Site": "cross-site"},
        ):
            refused = client.get("/api/v1/whoami", headers=sent)
            assert (refused.status_code, refused.json()["code"]) == (403, "not_local"), sent


def test_head_is_answered_as_get_without_a_body(api_client: TestClient) -> None:
    for path, status in (("/healthz", 200), ("/api/v1/jobs", 200), ("/api/v1/jobs/absent", 404)):
        got, head = api_client.get(path), api_client.head(path)
        assert (head.status_code, head.content) == (status, b"")
        assert head.headers["content-length"] == got.headers["content-length"]
    stream = api_client.head("/api/v1/events", headers={"Accept": "text/event-stream"})
    assert stream.status_code == 405


def test_a_connection_goes_on_after_head(live_api: str) -> None:
    with httpx.Client(base_url=live_api) as http:
        head, got = http.head("/healthz"), http.get("/healthz")
    assert (head.status_code, head.content, got.json()["status"]) == (200, b"", "ok")
