"""Submits and reads of the API beside a bare application. One JSON object a line.

    python -m tests.bench.api --seconds 5 --queued 20000

A real server with its usual settings, authenticated, its scheduler running, over a SQLite file;
no node, so that every job waits. `bare` is `tests/bench/bare_app.py`, measured right before each
case of ours; `ratio` is ours of the bare one's. `others` are the processors that work which is
not of this benchmark took meanwhile: above 0.05 the machine was not calm.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import count
from pathlib import Path
from typing import Final

from tests.bench.http_load import Load, load, request
from tests.bench.machine import Watched, watched
from tests.e2e import processes
from tests.e2e.rig import ROOT, Cloud

JOB: Final = {
    "type": "task", "task": {"command": ["true"]},
    "resources": {"chip": ["emulated-a100"], "chips": 1},
}  # fmt: skip
CLIENTS: Final = (1, 8, 32)


@dataclass(frozen=True, slots=True)
class Side:
    """One of the two servers."""

    name: str
    port: int
    pid: int
    jobs: str
    headers: dict[str, str]

    def submit(self, numbers: Iterator[int]) -> bytes:
        body = json.dumps({**JOB, "name": f"job-{next(numbers)}"}).encode()
        headers = {**self.headers, "content-type": "application/json"}
        return request("POST", self.jobs, headers, body)

    def read(self, path: str, **headers: str) -> bytes:
        return request("GET", f"{self.jobs}{path}", {**self.headers, **headers})


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=5.0, help="of each case and side")
    parser.add_argument("--queued", type=int, default=20_000, help="jobs that wait at the end")
    given = parser.parse_args()
    with (
        tempfile.TemporaryDirectory(prefix="penstock-bench-") as folder,
        _bare(Path(folder)) as bare,
        _ours(Path(folder) / "home") as ours,
    ):
        _measure(bare, ours, given.seconds, given.queued)
    return 0


def _measure(bare: Side, ours: Side, seconds: float, queued: int) -> None:
    numbers = count()
    sides = (bare, ours)
    _submits(sides, numbers, seconds, "submit")
    for name, path, headers, status in _reads():
        makes = [_reader(side, path, headers) for side in sides]
        _case(sides, f"{name}", makes, status, 8, seconds)
    num_queued = 0
    while num_queued < queued:
        done = load(ours.port, lambda: ours.submit(numbers), 201, clients=8, seconds=2.0)
        num_queued += len(done.took_s)
    _submits(sides, numbers, seconds, f"submit, {queued} more queued")


def _submits(sides: tuple[Side, Side], numbers: Iterator[int], seconds: float, name: str) -> None:
    for clients in CLIENTS:
        makes = [partial(side.submit, numbers) for side in sides]
        _case(sides, name, makes, 201, clients, seconds)


def _reads() -> Iterator[tuple[str, str, dict[str, str], int]]:
    yield "list of 50", "?limit=50", {}, 200
    yield "get", "/{job}", {}, 200
    yield "304", "/{job}", {"if-none-match": "{etag}"}, 304


def _reader(side: Side, path: str, headers: dict[str, str]) -> Callable[[], bytes]:
    job, etag = _a_job(side)
    known = {name: value.format(etag=etag) for name, value in headers.items()}
    made = side.read(path.format(job=job), **known)
    return lambda: made


def _a_job(side: Side) -> tuple[str, str]:
    """(id, ETag) of some job."""
    import httpx

    with httpx.Client(base_url=f"http://127.0.0.1:{side.port}", headers=side.headers) as client:
        found = client.get(f"{side.jobs}?limit=1").json()
        job = (found if isinstance(found, list) else found["items"])[0]["id"]
        reply = client.get(f"{side.jobs}/{job}")
    return job, reply.headers.get("etag", f'"{job}"')


def _case(
    sides: tuple[Side, Side],
    name: str,
    makes: Sequence[Callable[[], bytes]],
    status: int,
    clients: int,
    seconds: float,
) -> None:
    rates = []
    for side, make in zip(sides, makes, strict=True):
        with watched(side.pid) as seen:
            done = load(side.port, make, status, clients=clients, seconds=seconds)
        rates.append(done.per_s)
        _print(side, name, clients, done, seen)
    ratio = round(rates[1] / rates[0], 3)
    line = {"bench": "api", "case": name, "clients": clients, "ratio": ratio}
    print(json.dumps(line), flush=True)


def _print(side: Side, name: str, clients: int, done: Load, seen: Watched) -> None:
    line = {
        "bench": "api", "case": name, "clients": clients, "side": side.name,
        "per_s": round(done.per_s, 1), "p50_ms": round(done.percentile_ms(50), 2),
        "p99_ms": round(done.percentile_ms(99), 2),
        "server_ms": round(seen.server_s * 1000 / len(done.took_s), 2),
        "others": round(seen.others, 2), "calm": seen.is_calm,
    }  # fmt: skip
    print(json.dumps(line), flush=True)


@contextmanager
def _bare(folder: Path) -> Iterator[Side]:
    port = processes.free_port()
    command = [
        sys.executable,
        "-m",
        "tests.bench.bare_app",
        "--database",
        str(folder / "bare.db"),
        "--port",
        str(port),
    ]
    daemon = processes.start(command, folder / "bare.log", dict(os.environ), ROOT)
    try:
        processes.eventually(lambda: _listens(port), "the bare application listens", 30)
        yield Side("bare", port, daemon.child.pid, "/jobs", {})
    finally:
        daemon.end()


@contextmanager
def _ours(home: Path) -> Iterator[Side]:
    cloud = Cloud(home, {})
    cloud.start_server()
    try:
        headers = {"authorization": f"Bearer {cloud.token}"}
        yield Side("penstock", cloud.port, cloud.server.child.pid, "/api/v1/jobs", headers)
    finally:
        cloud.server.end()


def _listens(port: int) -> bool:
    import socket

    with socket.socket() as trying:
        return trying.connect_ex(("127.0.0.1", port)) == 0


if __name__ == "__main__":
    sys.exit(main())
