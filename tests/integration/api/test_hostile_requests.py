"""Addresses and headers made to cost much, and requests that would take all threads."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
from starlette.applications import Starlette
from starlette.testclient import TestClient

from control_plane.server import lanes
from control_plane.services.deps import Deps
from control_plane.store.unit_of_work import Transaction
from tests.integration.api.world import TASK, join

pytestmark = [
    pytest.mark.integration,
    pytest.mark.parametrize("database_url", ["sqlite"], indirect=True),
]

MOST_MS = 5 * 3 + 10
"""Five, with room for a busy machine."""
PARAMETERS = "&".join(f"k{number}=1" for number in range(7_000))
FEW = "&".join(f"limi{number}=1" for number in range(99))
ADDRESSES = {
    "7,000 parameters": (f"/healthz?{PARAMETERS}", 422),
    "7,000 parameters of a list": (f"/api/v1/jobs?{PARAMETERS}", 422),
    "7,000 parameters of a path that is not there": (f"/api/v1/nothing?{PARAMETERS}", 422),
    "99 parameters that look like another": (f"/api/v1/jobs?{FEW}", 422),
    "one parameter 99 times": ("/api/v1/jobs?" + "limit=1&" * 98 + "limit=1", 422),
    "one long parameter": ("/healthz?k=" + "x" * 60_000, 414),
    "a long name of a parameter": (f"/api/v1/jobs?{'k' * 8_000}=1", 422),
    "a parameter of escapes": ("/healthz?k=" + "%41" * 2_000, 422),
    "ampersands": ("/healthz?" + "&" * 8_000, 422),
    "semicolons": ("/healthz?" + ";" * 8_000, 422),
    "a long path": ("/api/v1/jobs/" + "x" * 60_000, 414),
    "a path of slashes": ("/a" + "/" * 8_000, 404),
    "a path like others": ("/api/v1/jobs/" + "api/v1/jobs/" * 600, 404),
    "a limit of 4,000 digits": ("/api/v1/jobs?limit=" + "9" * 4_000, 422),
    "a limit that is no number": ("/api/v1/jobs?limit=1e400", 422),
    "a long cursor": ("/api/v1/jobs?cursor=" + "A" * 4_000, 422),
}
HEADERS = {
    "5,000 headers": ({f"x-{number}": "1" for number in range(5_000)}, 431),
    "a long header": ({"x-long": "x" * 60_000}, 431),
    "many cookies": ({"cookie": "; ".join(f"c{n}=1" for n in range(9_000))}, 431),
    "a list of ETags": ({"if-none-match": ", ".join(f'"{n}"' for n in range(3_000))}, 200),
    "many ranges": ({"range": "bytes=" + ",".join(f"{n}-{n}" for n in range(3_000))}, 200),
    "many languages": ({"accept-language": ",".join(["en;q=0.1"] * 3_000)}, 200),
    "a long id of an event": (
        {"accept": "text/event-stream", "last-event-id": "9" * 20_000}, 422,
    ),
    "many accepted types": ({"accept": ",".join(["text/html;q=0.1"] * 2_000)}, 200),
}  # fmt: skip


BARE = TestClient(Starlette())


def _assert_costs_little(
    client: TestClient, path: str, status: int, headers: dict[str, str] | None = None
) -> None:
    """Against a bare application: of long ones the client's own work is most of it."""
    ours = _least_ms(lambda: client.get(path, headers=headers).status_code, status)
    of_client = _least_ms(lambda: BARE.get(path, headers=headers).status_code, 404)
    assert ours <= MOST_MS + 2 * of_client


def _least_ms(ask: Callable[[], int], status: int) -> float:
    costs = []
    for _ in range(3):
        started = time.process_time()
        assert ask() == status
        costs.append((time.process_time() - started) * 1000)
    return min(costs)


@pytest.mark.parametrize("kind", ADDRESSES)
def test_an_address_costs_little(api_client: TestClient, kind: str) -> None:
    address, status = ADDRESSES[kind]
    _assert_costs_little(api_client, address, status)
    answer = api_client.get(address)
    assert answer.headers["content-type"] == "application/problem+json"
    assert len(answer.content) <= 2048


@pytest.mark.parametrize("kind", HEADERS)
def test_headers_cost_little(api_client: TestClient, kind: str) -> None:
    sent, status = HEADERS[kind]
    _assert_costs_little(api_client, "/api/v1/events", status, sent)


def test_submits_that_wait_leave_heartbeats_reads_and_health_their_threads(
    api_client: TestClient, deps: Deps
) -> None:
    agent = join(api_client, "a")
    taken, done = threading.Event(), threading.Event()

    def hold(_: Transaction) -> None:
        taken.set()
        done.wait(10)

    def submit(_: int) -> int:
        return api_client.post("/api/v1/jobs", json=TASK).status_code

    with ThreadPoolExecutor(70) as pool:
        holder = pool.submit(deps.run, hold)
        taken.wait(5)
        submits = [pool.submit(submit, number) for number in range(60)]
        time.sleep(0.3)
        started = time.monotonic()
        assert api_client.get("/healthz").status_code == 200
        assert api_client.get("/api/v1/jobs").status_code == 200
        assert api_client.get("/readyz").status_code in (200, 503)
        took_s = time.monotonic() - started
        done.set()
        holder.result()
        statuses = {one.result() for one in submits}
    assert took_s < 1.5
    assert statuses <= {201, 503}
    assert agent.beat()


def test_who_gets_no_thread_in_time_is_told_to_come_again(
    api_client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lanes, "LANE_S", 0.0)
    answer = api_client.post("/api/v1/jobs", json=TASK)
    assert (answer.status_code, answer.json()["code"]) == (503, "busy")
    assert answer.headers["retry-after"]
