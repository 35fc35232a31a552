"""Events over a real server: from now on, from any event on, of one job to its end."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from starlette.testclient import TestClient

from tests.integration.api.world import TASK, headers, new_project, submit

pytestmark = pytest.mark.integration


def _events(
    url: str, secret: str, path: str, last_id: str | None = None
) -> Iterator[tuple[str, str | None, dict[str, Any]]]:
    sent = {**headers(secret), "Accept": "text/event-stream"}
    if last_id is not None:
        sent["Last-Event-ID"] = last_id
    with httpx.stream("GET", f"{url}/api/v1/{path}", headers=sent, timeout=20) as answer:
        assert answer.status_code == 200, answer.read()
        fields: dict[str, str] = {}
        for line in answer.iter_lines():
            if line:
                name, _, value = line.partition(": ")
                fields[name] = value
            elif "data" in fields:
                yield fields["event"], fields.get("id"), json.loads(fields["data"])
                fields = {}


def test_a_jobs_events_stream_to_its_end_and_resume(
    api_client: TestClient, live_api: str, admin_secret: str
) -> None:
    submit(api_client, name="told")
    stream = _events(live_api, admin_secret, "jobs/told/events")
    assert next(stream)[2]["type"] == "job.queued"
    api_client.post("/api/v1/jobs/told/cancel")
    rest = list(stream)
    assert rest[-1][0] == "end"
    assert rest[-1][2]["state"] == "cancelled"
    assert rest[-2][2]["type"] == "job.cancelled"
    whole = list(_events(live_api, admin_secret, "jobs/told/events"))
    assert [id_ for _, id_, _ in whole[:-1]] == [str(n) for n in range(1, len(whole))]
    for position, (_, id_, _) in enumerate(whole[:-1]):
        assert (
            list(_events(live_api, admin_secret, "jobs/told/events", id_))
            == (whole[position + 1 :])
        )


def test_all_events_stream_within_the_tenant(
    api_client: TestClient, live_api: str, admin_secret: str
) -> None:
    secret = new_project(api_client, "mine")
    submit(api_client, name="before")
    everything = _events(live_api, admin_secret, "events?after=0")
    seen = [next(everything) for _ in range(3)]
    own = _events(live_api, secret, "events?after=0")
    api_client.post("/api/v1/jobs", json=TASK, headers=headers(secret))
    mine = [next(own) for _ in range(3)]
    assert {event["project"] for _, _, event in mine} == {"mine"}
    assert [event["type"] for _, _, event in mine][-1] == "job.queued"
    ids = [int(id_ or 0) for _, id_, _ in seen]
    assert ids == sorted(ids)
    resumed = _events(live_api, admin_secret, "events", seen[0][1])
    assert next(resumed) == seen[1]


def test_a_new_stream_begins_now(api_client: TestClient, live_api: str, admin_secret: str) -> None:
    submit(api_client, name="old")
    with httpx.stream(
        "GET",
        f"{live_api}/api/v1/events",
        headers={**headers(admin_secret), "Accept": "text/event-stream"},
        timeout=20,
    ) as answer:
        lines = answer.iter_lines()
        assert next(lines) == "retry: 1000"
        submit(api_client, name="new")
        data = next(line for line in lines if line.startswith("data: "))
        assert json.loads(data.removeprefix("data: "))["type"] == "job.queued"
