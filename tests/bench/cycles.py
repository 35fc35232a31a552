"""What a durable scheduling cycle costs: reading the pool, planning, committing. One JSON object
a line.

    python -m tests.bench.cycles --nodes 250 --chips-per-node 8 --jobs 500 --rounds 5

Real services over a real SQLite file, agents in memory, no processes and no network. Cases:
`place` (all jobs at once on a free pool), `read` (the pool with all of them running), `one`
(one more job's cycle on that pool), `deep` (a cycle over as many jobs again that wait).
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Any

from control_plane.hints.hub import Hub
from control_plane.server.interpreter import tune
from control_plane.services.accounts.bootstrap import bootstrap
from control_plane.services.deps import Deps
from control_plane.store.database.engine import open_database
from control_plane.store.database.migrate import migrate
from control_plane.store.log_store import LogStore
from control_plane.store.unit_of_work import Store
from scheduler.policies.priority_age import PRIORITY_AGE
from tests.fakes.cluster import BIG, Cluster, a_task
from tests.fakes.lease_clock import CloudClock


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--nodes", type=int, default=250)
    parser.add_argument("--chips-per-node", type=int, default=8)
    parser.add_argument("--jobs", type=int, default=500)
    parser.add_argument("--rounds", type=int, default=5)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="penstock-bench-") as folder:
        rig = a_rig(Path(folder))
        tune()
        for number in range(given.nodes):
            rig.node(f"n{number:05}", {BIG: given.chips_per_node}, cores=96)
        _measure(rig, given.jobs, given.rounds, vars(given))


def _measure(rig: Cluster, num_jobs: int, rounds: int, pool: Mapping[str, Any]) -> None:
    def read() -> None:
        with rig.deps.store.read() as tx:
            rig.deps.read_pool(tx, rig.clock.now())

    for number in range(num_jobs):
        rig.submit(a_task(f"first-{number}"))
    placing = _times(rig.cycle, 1)
    _say("place", placing, pool, decisions=num_jobs)
    _say("read", _times(read, rounds), pool)
    _say("one", [_one_more(rig, number) for number in range(rounds)], pool)
    for number in range(num_jobs):
        rig.submit(a_task(f"deep-{number}", 10_000))
    rig.cycle()
    _say("deep", _times(rig.cycle, rounds), pool, decisions=num_jobs)


def _one_more(rig: Cluster, number: int) -> float:
    rig.submit(a_task(f"one-{number}"))
    (took,) = _times(rig.cycle, 1)
    return took


def a_rig(folder: Path) -> Cluster:
    """Services over the database in that folder, which is made where it is missing."""
    clock = CloudClock(datetime(2026, 1, 5, 12, 0, tzinfo=UTC))
    database = open_database(f"sqlite:///{folder / 'penstock.db'}")
    migrate(database)
    storage, hub = (folder / "storage").as_uri(), Hub()
    deps = Deps(
        store=Store(database),
        hints=hub,
        clock=clock,
        logs=LogStore(storage),
        storage=storage,
        policy=PRIORITY_AGE,
    )
    clock.bind(deps.store)
    bootstrap(deps)
    return Cluster(deps, clock)


def _times(work: Callable[[], object], rounds: int) -> list[float]:
    took = []
    for _ in range(rounds):
        started = time.perf_counter()
        work()
        took.append(time.perf_counter() - started)
    return took


def _say(case: str, took: list[float], pool: Mapping[str, Any], decisions: int = 0) -> None:
    line = {"bench": "cycles", "case": case, **pool, "median_s": round(median(took), 4)}
    if decisions:
        line["decisions_per_s"] = round(decisions / median(took))
    print(json.dumps(line), flush=True)


if __name__ == "__main__":
    main()
