"""The short form of the storm: a fixed seed on each database, side by side. `make storm` is longer.

Only a round of all kinds; its faults last for seconds, so that it ends within ninety.
"""

from __future__ import annotations

import shutil
import threading
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Final

import pytest

from tests.storm.backing import binaries
from tests.storm.plan import KINDS
from tests.storm.storm import Order, Tally, run_storm

pytestmark = [pytest.mark.e2e, pytest.mark.slow]
SEEDS: Final = {"sqlite": 61, "postgresql": 2293}
"""Their first rounds have faults of all kinds, and end soon."""
SHORT_S: Final = 20.0


def _missing(database: str) -> str:
    if database == "postgresql" and binaries() is None:
        return "no PostgreSQL on this machine"
    if database == "postgresql" and shutil.which("redis-server") is None:
        return "no redis-server on this machine"
    return ""


@pytest.fixture(scope="module")
def storms() -> Iterator[dict[str, Future[Tally]]]:
    """Both at once: either mostly waits."""
    stopping = threading.Event()
    with ThreadPoolExecutor(len(SEEDS)) as pool:
        yield {
            database: pool.submit(run_storm, _order(database, seed), stopping, print)
            for database, seed in SEEDS.items()
            if not _missing(database)
        }
        stopping.set()


def _order(database: str, seed: int) -> Order:
    return Order(seed, database, KINDS, num_faults=1, round_s=SHORT_S, meters=False)


@pytest.mark.parametrize("database", SEEDS)
def test_a_short_storm_loses_no_job_and_runs_none_twice(
    storms: dict[str, Future[Tally]], database: str
) -> None:
    if reason := _missing(database):
        pytest.skip(reason)
    total = storms[database].result()
    assert total.findings == []
    assert len(total.struck) > 8, "faults of many sorts"
    assert total.jobs > 2
