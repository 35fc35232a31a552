"""Follows a job's logs over HTTP and gives what came, event by event."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import httpx

from tests.integration.api.world import headers


@dataclass(frozen=True)
class Sent:
    """One event as it came."""

    name: str
    id: str | None
    data: dict[str, Any]


@dataclass(frozen=True)
class Follower:
    """Opens streams of one job's logs."""

    url: str
    secret: str

    def events(self, job: str, last_id: str | None = None, query: str = "") -> Iterator[Sent]:
        sent = {**headers(self.secret), "Accept": "text/event-stream"}
        if last_id is not None:
            sent["Last-Event-ID"] = last_id
        path = f"{self.url}/api/v1/jobs/{job}/logs{query}"
        with httpx.stream("GET", path, headers=sent, timeout=20) as answer:
            assert answer.status_code == 200, answer.read()
            assert answer.headers["content-type"].startswith("text/event-stream")
            yield from parsed(answer.iter_lines())

    def lines(self, job: str, last_id: str | None = None, query: str = "") -> list[Sent]:
        """All lines up to the end of the job."""
        found = list(self.events(job, last_id, query))
        assert found[-1].name == "end"
        return found[:-1]


def parsed(lines: Iterator[str]) -> Iterator[Sent]:
    fields: dict[str, str] = {}
    for line in lines:
        if line:
            name, _, value = line.partition(": ")
            fields[name] = value
        elif "data" in fields:
            yield Sent(fields["event"], fields.get("id"), json.loads(fields["data"]))
            fields = {}
