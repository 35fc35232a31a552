"""What hostile input costs, and what a reader and a running job notice of it. JSON lines.

    python -m tests.bench.hostile --seconds 20

A real cloud with 1,024 descriptors for its server, a job of 30 s grace on its own node. First
what each kind costs alone, in processor time of the server; then a reader without and with ten
hostile requests a second of all kinds mixed, beside 1,200 connections with half-sent headers.
"""

from __future__ import annotations

import argparse
import gzip
import itertools
import json
import math
import multiprocessing
import random
import socket
import subprocess
import time
from collections import Counter, deque
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from multiprocessing.queues import Queue
from multiprocessing.synchronize import Event
from statistics import median
from typing import Any, Final
from urllib.parse import urlsplit

import psutil

from penstock.client.synchronous import Client
from tests.e2e.laptop import Laptop, a_laptop
from tests.e2e.rig import PENSTOCK

HALF_SENT: Final = 1_200
HELD_S: Final = 5.0
RATE: Final = 10.0
READS: Final = 20.0
JSON: Final = "application/json"
YAML: Final = "application/yaml"
ENROL, JOBS, CHAT = "POST /api/v1/agent/enrol", "POST /api/v1/jobs", "POST /v1/chat/completions"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--each", type=int, default=10)
    options = parser.parse_args()
    with a_laptop() as laptop:
        _start(laptop)
        kinds = _kinds((laptop.home / "admin-token").read_text(encoding="utf-8").strip())
        job = _job(laptop.client)
        _costs(laptop, kinds, options.each)
        alone = _read(laptop, options.seconds)
        with _storm(laptop, kinds) as statuses:
            time.sleep(HELD_S + 3)
            stormed = _read(laptop, options.seconds)
        _print(reader="alone", **_figures(alone))
        _print(reader="stormed", **_figures(stormed), statuses=dict(statuses))
        _print(ratio_p50=_ratio(alone, stormed, 0.5), ratio_p99=_ratio(alone, stormed, 0.99))
        seen, node = laptop.client.jobs.get(job), next(iter(laptop.client.nodes.list()))
        _print(job=seen.state, attempt=seen.attempt, node=node.health.state)


def _start(laptop: Laptop) -> None:
    command = [
        "prlimit",
        "--nofile=1024:1024",
        *PENSTOCK,
        "--home",
        str(laptop.home),
        "up",
        "--emulate",
        "none",
        "--port",
        "0",
    ]
    subprocess.run(command, check=True, capture_output=True, timeout=60)


def _job(client: Client) -> str:
    spec = {"type": "task", "task": {"command": ["sleep", "600"]}, "disconnect_grace": 30}
    job = client.jobs.submit(spec).id
    while client.jobs.get(job).state != "running":
        time.sleep(0.1)
    return job


def _kinds(token: str) -> dict[str, bytes]:
    """Whole requests, each on a connection of its own."""
    many = {f"key{number}": 1 for number in range(60_000)}
    bomb = "a0: &a0 [x,x,x,x,x,x,x,x,x]\n" + "".join(
        f"a{new}: &a{new} [{','.join([f'*a{old}'] * 9)}]\n"
        for old, new in itertools.pairwise(range(30))
    )
    chips = {"name": "a", "inventory": {"cores_milli": 1, "memory_bytes": 1, "chips": [{}] * 3_000}}
    parameters = "&".join(f"k{number}=1" for number in range(7_000))
    shares = {"type": "train", "train": {"shares": [{}] * 9_000}}
    return {
        "60,000 unknown keys, a stranger's": _request(ENROL, json.dumps(many)),
        "200 unknown keys, a stranger's": _request(ENROL, json.dumps(_first(many, 200))),
        "60,000 unknown keys": _request(JOBS, json.dumps(many), token),
        "1,000 unknown keys": _request(JOBS, json.dumps(_first(many, 1_000)), token),
        "7,000 parameters": _request(f"GET /healthz?{parameters}"),
        "nesting of 10,000": _request(ENROL, '{"a":' * 10_000),
        "nesting of 10,000 in YAML": _request(JOBS, "a: " + "[" * 10_000, token, YAML),
        "3,000 bad chips, a stranger's": _request(ENROL, json.dumps(chips)),
        "900 bad chips, a stranger's": _request(ENROL, json.dumps(
            {**chips, "inventory": {"chips": [{}] * 900}})),
        "9,000 bad shares": _request(JOBS, json.dumps(shares), token),
        "alias bomb": _request(JOBS, bomb, token, YAML),
        "YAML of 11,000 keys": _request(
            JOBS, "".join(f"key{number}: 1\n" for number in range(11_000)), token, YAML),
        "gzip": _request(JOBS, gzip.compress(b"0" * 10_000_000), token, JSON, "gzip"),
        "NaN": _request(JOBS, '{"priority": NaN}', token),
        "an integer of 1,000,000 digits": _request(JOBS, '{"a": ' + "9" * 1_000_000 + "}", token),
        "chat, nested": _request(CHAT, '{"a":' * 10_000, token),
        "chat of 300,000 values": _request(CHAT, '{"a": [' + "1," * 300_000 + "1]}", token),
    }  # fmt: skip


def _first(keys: Mapping[str, int], number: int) -> dict[str, int]:
    return dict(itertools.islice(keys.items(), number))


def _request(
    line: str,
    body: str | bytes = b"",
    token: str | None = None,
    kind: str = JSON,
    encoding: str = "identity",
) -> bytes:
    data = body.encode() if isinstance(body, str) else body
    head = [
        f"{line} HTTP/1.1",
        "Host: 127.0.0.1",
        f"Content-Type: {kind}",
        "Connection: close",
        f"Content-Encoding: {encoding}",
        f"Content-Length: {len(data)}",
        *([f"Authorization: Bearer {token}"] if token else []),
    ]
    return "\r\n".join(head).encode() + b"\r\n\r\n" + data


def _costs(laptop: Laptop, kinds: Mapping[str, bytes], each: int) -> None:
    server = laptop.record("server")
    idle_ms = _cpu_ms_per_s(server)
    for kind, sent in kinds.items():
        started, before = time.monotonic(), _cpu_ms(server)
        statuses = Counter(_send(laptop.url, sent) for _ in range(each))
        took_s = time.monotonic() - started
        cost_ms = (_cpu_ms(server) - before - idle_ms * took_s) / each
        _print(kind=kind, statuses=dict(statuses), cpu_ms=round(cost_ms, 1))
        time.sleep(4.0 * each * 0.05)  # the budget for large bodies comes back


def _cpu_ms_per_s(server: psutil.Process) -> float:
    before = _cpu_ms(server)
    time.sleep(5.0)
    return (_cpu_ms(server) - before) / 5.0


def _cpu_ms(server: psutil.Process) -> float:
    """Of the parent and the server below it."""
    times = [it.cpu_times() for it in (server, *server.children())]
    return 1000 * sum(it.user + it.system for it in times)


def _send(url: str, sent: bytes) -> int:
    """The status of the answer; 0 where the connection was closed without one."""
    where = urlsplit(url)
    with suppress(OSError), socket.create_connection((where.hostname, where.port), 20) as one:
        with suppress(OSError):
            one.sendall(sent)
        answer = one.recv(200)
        return int(answer[9:12] or b"0")
    return 0


@contextmanager
def _storm(laptop: Laptop, kinds: Mapping[str, bytes]) -> Iterator[Counter[int]]:
    """In processes of its own: the reader's turns are not taken by its own interpreter."""
    statuses: Counter[int] = Counter()
    spawn = multiprocessing.get_context("spawn")
    done, counted = spawn.Event(), spawn.Queue()
    processes = [
        spawn.Process(target=_hostile, args=(laptop.url, list(kinds.values()), done, counted)),
        spawn.Process(target=_half_sent, args=(laptop.url, done)),
    ]
    for one in processes:
        one.start()
    try:
        yield statuses
    finally:
        done.set()
        statuses.update(counted.get(timeout=60))
        for one in processes:
            one.join()


def _hostile(url: str, requests: list[bytes], done: Event, counted: Queue[Counter[int]]) -> None:
    statuses: Counter[int] = Counter()
    picks = random.Random(0)
    while not done.wait(1 / RATE):
        statuses[_send(url, picks.choice(requests))] += 1
    counted.put(statuses)


def _half_sent(url: str, done: Event) -> None:
    """Holds all of them; those that were closed are opened again after five seconds."""
    where = urlsplit(url)
    held: deque[socket.socket] = deque()
    while not done.wait(HELD_S / HALF_SENT):
        with suppress(OSError):
            one = socket.create_connection((where.hostname, where.port), 2)
            one.sendall(b"GET / HTTP/1.1\r\nHost: x\r\nX-Half: ")
            held.append(one)
        if len(held) > HALF_SENT:
            held.popleft().close()


def _read(laptop: Laptop, seconds: float) -> list[float]:
    """Latencies of a reader, in milliseconds."""
    found: list[float] = []
    client = laptop.client
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        started = time.monotonic()
        list(client.jobs.list())
        found.append(1000 * (time.monotonic() - started))
        time.sleep(max(0.0, 1 / READS - (time.monotonic() - started)))
    return found


def _figures(found: list[float]) -> dict[str, Any]:
    return {
        "num_reads": len(found), "p50_ms": round(median(found), 1),
        "p99_ms": round(_quantile(found, 0.99), 1), "worst_ms": round(max(found), 1),
    }  # fmt: skip


def _ratio(alone: list[float], stormed: list[float], share: float) -> float:
    return round(_quantile(stormed, share) / _quantile(alone, share), 2)


def _quantile(found: list[float], share: float) -> float:
    return sorted(found)[math.ceil(share * len(found)) - 1]


def _print(**figures: Any) -> None:
    print(json.dumps(figures, default=str), flush=True)


if __name__ == "__main__":
    main()
