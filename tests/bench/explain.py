"""What "why is my job waiting" costs over HTTP on a full pool. One JSON object a line.

    python -m tests.bench.explain --nodes 1250 --chips-per-node 8 --waiting 1000 --rounds 50

Real services and the real application behind a real server, over a SQLite file; agents in
memory. Every chip is held and all waiting jobs ask for different things. `cold` is the first
question to a server that has just started, `warm` are further ones about other jobs, `moved`
are those with a node cordoned or resumed before each, `silent` those while no node is heard of.
`whoami` is the same connection's cheapest answer, for comparison.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import httpx

from control_plane.api.app import build_api
from control_plane.server.interpreter import tune
from control_plane.services.accounts.tokens import ensure_admin
from penstock.api.states import NodeIntent
from tests.bench.cycles import a_rig
from tests.fakes.cluster import BIG, Cluster, a_task
from tests.integration.conftest import serving


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--nodes", type=int, default=1250)
    parser.add_argument("--chips-per-node", type=int, default=8)
    parser.add_argument("--waiting", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=50)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="penstock-bench-") as folder:
        _fill(a_rig(Path(folder)), given)
        tune()
        server = a_rig(Path(folder))
        with serving(build_api(server.deps, server.hub)) as url:
            headers = {"Authorization": f"Bearer {_secret(server)}"}
            with httpx.Client(base_url=url, headers=headers, timeout=60) as client:
                _measure(server, client, given)


def _fill(rig: Cluster, given: argparse.Namespace) -> None:
    for number in range(given.nodes):
        rig.node(f"n{number:05}", {BIG: given.chips_per_node}, cores=96)
    for number in range(given.nodes):
        rig.submit(a_task(f"held-{number}", given.chips_per_node))
    rig.cycle()
    for number in range(given.waiting):
        document = a_task(f"waits-{number}", 1 + number % given.chips_per_node)
        document["resources"]["host_memory"] = f"{1 + number}MiB"
        rig.submit(document)
    rig.cycle()


def _measure(rig: Cluster, client: httpx.Client, given: argparse.Namespace) -> None:
    def ask(number: int) -> float:
        return _timed(lambda: client.get(f"/api/v1/jobs/waits-{number % given.waiting}/explain"))

    def move(number: int) -> None:
        intent = NodeIntent.SCHEDULABLE if number % 2 else NodeIntent.CORDONED
        rig.intend(f"n{number // 2 % given.nodes:05}", intent)

    _timed(lambda: client.get("/api/v1/whoami"))
    _print(given, "cold", [ask(0)])
    _print(given, "warm", [ask(1 + number) for number in range(given.rounds)])
    moved = []
    for number in range(given.rounds):
        move(number)
        moved.append(ask(number))
    _print(given, "moved", moved)
    rig.clock.advance(20)
    rig.sweep()
    ask(0)
    _print(given, "silent", [ask(1 + number) for number in range(given.rounds)])
    cheap = [_timed(lambda: client.get("/api/v1/whoami")) for _ in range(given.rounds)]
    _print(given, "whoami", cheap)


def _timed(send: Callable[[], httpx.Response]) -> float:
    started = time.perf_counter()
    send().raise_for_status()
    return time.perf_counter() - started


def _print(given: argparse.Namespace, case: str, took: list[float]) -> None:
    line: dict[str, Any] = {"bench": "explain", "case": case, **vars(given)}
    line |= {"median_s": round(median(took), 4), "most_s": round(max(took), 4)}
    print(json.dumps(line), flush=True)


def _secret(rig: Cluster) -> str:
    secret = ensure_admin(rig.deps)
    assert secret is not None, "the fleet was made without an administrator"
    return secret


if __name__ == "__main__":
    main()
