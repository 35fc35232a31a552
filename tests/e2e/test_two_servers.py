"""Two whole servers over one PostgreSQL and one Redis: one of them freezes, the database dies,
Redis says nothing. Whoever asks the living one is answered, and no job is lost or made twice.
"""

from __future__ import annotations

import signal
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from random import Random
from statistics import median
from typing import Any, Final

import httpx
import psycopg
import pytest

from control_plane.deadlines import ANSWER_S
from penstock.client.synchronous import Client
from tests.e2e.processes import eventually, free_port
from tests.e2e.rig import Cloud, a_cloud
from tests.e2e.submit_load import Load
from tests.storm.backing import Postgres, binaries
from tests.storm.redis import Redis

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(binaries() is None, reason="no PostgreSQL on this machine"),
]

SERVERS: Final = ("one", "two")
LEADS_S: Final = 10.0
BACK_S: Final = 15.0
TRIES: Final = 20


@dataclass(frozen=True, slots=True)
class Pair:
    """The times are those of production."""

    cloud: Cloud
    postgres: Postgres
    redis: Redis
    ports: dict[str, int] = field(default_factory=lambda: {it: free_port() for it in SERVERS})

    def start(self, name: str) -> None:
        self.cloud.start_server(name, self.ports[name])

    def load(self) -> Load:
        urls = {name: f"http://127.0.0.1:{port}" for name, port in self.ports.items()}
        return Load(urls, self.cloud.token)

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        with psycopg.connect(self.postgres.url.replace("+psycopg", "")) as connection:
            return connection.execute(query.encode()).fetchall()

    def deciding(self) -> int:
        """The epoch of the newest cycle that was committed."""
        return int(self.rows("SELECT coalesce(max(epoch), 0) FROM cycles WHERE committed")[0][0])

    def leader(self) -> str:
        """The server that says so in its log: the last one to have won."""
        (epoch,) = self.rows("SELECT epoch FROM leaders")[0]
        mark = f'"epoch": {epoch}'
        return next(
            name
            for name in SERVERS
            for line in self.cloud.servers[name].log.read_text(encoding="utf-8").splitlines()
            if '"leadership"' in line and mark in line
        )


@contextmanager
def a_pair() -> Iterator[Pair]:
    postgres = Postgres({})
    try:
        settings = {"PENSTOCK_SERVER_DATABASE_URL": postgres.url}
        with a_cloud(start=False, settings=settings) as cloud:
            redis = Redis(cloud.home)
            try:
                cloud.settings = {**settings, "PENSTOCK_SERVER_REDIS_URL": redis.url}
                pair = Pair(cloud, postgres, redis)
                cloud.port = pair.ports["one"]
                for name in SERVERS:
                    pair.start(name)
                yield pair
                for daemon in cloud.servers.values():
                    daemon.end()
            finally:
                redis.close()
    finally:
        postgres.close()


@pytest.fixture(scope="module")
def pair() -> Iterator[Pair]:
    """With a node, whose agent talks to the first server."""
    with a_pair() as made:
        made.cloud.add_node("a", "emulated-a100:2", "--no-cpu-chip")
        yield made


@pytest.fixture
def asking(pair: Pair) -> Iterator[Asking]:
    with httpx.Client(timeout=2 * ANSWER_S, trust_env=False) as http:
        yield Asking(pair, http)


@dataclass(slots=True)
class Asking:
    """Asks both servers for everything, one question after the other, and measures."""

    pair: Pair
    http: httpx.Client
    longest_s: float = 0.0

    def round(self, *paths: str) -> list[httpx.Response]:
        """What each server answers to each path, and to a submit."""
        return [
            reply
            for name in SERVERS
            for reply in (
                *(self._timed("GET", name, path) for path in paths),
                self._timed("POST", name, "/api/v1/jobs", json=a_job("true", cores=64)),
            )
        ]

    def is_well(self) -> bool:
        return all(it.status_code in (200, 201) for it in self.round("/readyz", "/api/v1/jobs"))

    def _timed(self, method: str, server: str, path: str, **more: Any) -> httpx.Response:
        headers = {"Authorization": f"Bearer {self.pair.cloud.token}"}
        url, began = f"http://127.0.0.1:{self.pair.ports[server]}{path}", time.monotonic()
        reply = self.http.request(method, url, headers=headers, **more)
        self.longest_s = max(self.longest_s, time.monotonic() - began)
        return reply


def a_job(script: str, cores: float = 0.25) -> dict[str, Any]:
    task = {"command": ["sh", "-c", script]}
    return {"type": "task", "task": task, "resources": {"cores": cores}}


@dataclass(frozen=True, slots=True)
class Try:
    """What one freeze came to."""

    led_after_s: float
    worst_s: float
    accepted: int
    refused: int
    caught: int
    """Requests that the frozen server had not answered, and answered when it went on."""

    def __str__(self) -> str:
        return (
            f"led after {self.led_after_s:.1f} s, worst answer {self.worst_s:.1f} s, "
            f"201: {self.accepted}, 503: {self.refused}, caught: {self.caught}, lost 0, doubled 0"
        )


def freeze_leader(pair: Pair, random: Random) -> Try:
    """Freezes whoever leads at a random moment under load, until the other one has led a while."""
    eventually(lambda: pair.rows("SELECT 1 FROM leaders WHERE holder <> ''"), "somebody leads")
    load = pair.load()
    with load.running():
        eventually(lambda: len(load.jobs) > 20, "the load is accepted")
        time.sleep(random.uniform(0.0, 2.0))  # the moment is what is tried
        frozen, before = pair.leader(), pair.deciding()
        (live,) = set(SERVERS) - {frozen}
        process = pair.cloud.servers[frozen].child
        process.send_signal(signal.SIGSTOP)
        frozen_s = time.monotonic()
        try:
            eventually(lambda: pair.deciding() > before, "the standby decides", 3 * LEADS_S)
            led_after_s = time.monotonic() - frozen_s
            eventually(lambda: load.open, "requests hang in the frozen one")
        finally:
            process.send_signal(signal.SIGCONT)
            thawed_s = time.monotonic()
        eventually(
            lambda: [it for it in load.of(frozen, thawed_s) if it.status == 201],
            "the frozen one takes jobs again",
        )
    late = load.late()
    assert led_after_s <= LEADS_S
    answers = load.of(live, frozen_s)
    assert answers
    assert not [server for server, _ in load.open if server == live], "the live one answers in time"
    assert {it.status for it in answers} <= {200, 201, 503}
    assert all(it.says_when for it in answers if it.status == 503)
    _is_each_once(pair, load)
    worst_s = max(it.took_s for it in answers)
    assert worst_s <= ANSWER_S
    count = Counter(it.status for it in answers)
    return Try(led_after_s, worst_s, count[200] + count[201], count[503], len(late))


def _is_each_once(pair: Pair, load: Load) -> None:
    """Every key that was accepted anywhere, or was refused at last, has the one job or none."""
    made = pair.rows("SELECT spec->'task'->'command'->>1, count(*), min(id) FROM jobs GROUP BY 1")
    jobs = {key: job for key, number, job in made if number == 1}
    assert [key for key, number, _ in made if number != 1] == [], "made twice"
    assert [key for key in load.jobs if load.jobs[key] != {jobs.get(key)}] == [], "lost"
    assert set(load.jobs) >= {it.key for it in load.late()}, "what was caught was repeated"


def test_of_two_servers_one_freezes_and_the_other_leads_and_answers(pair: Pair) -> None:
    print(freeze_leader(pair, Random(1)))


def test_postgresql_dies_under_running_work_and_comes_back(pair: Pair, asking: Asking) -> None:
    job = pair.cloud.client.jobs.submit(a_job("sleep 2; echo over"))
    pair.cloud.await_job(job.id, "running")
    pair.postgres.kill()
    died_s = time.monotonic()
    while time.monotonic() < died_s + 2.5:  # the job ends meanwhile, and its agent tries to tell
        for reply in asking.round("/readyz", "/api/v1/jobs", f"/api/v1/jobs/{job.id}/logs"):
            assert (reply.status_code, "Retry-After" in reply.headers) == (503, True), reply.text
    pair.postgres.start()
    back_s = time.monotonic()
    eventually(asking.is_well, "both servers work again", BACK_S)
    print(f"after {time.monotonic() - back_s:.1f} s; longest answer {asking.longest_s:.1f} s")
    assert asking.longest_s <= ANSWER_S
    ended = pair.cloud.await_job(job.id, "succeeded")
    assert ended.attempt == 1
    assert pair.cloud.whole_log(job.id) == ["over"]


@pytest.mark.slow_safety
def test_postgresql_freezes_and_goes_on(pair: Pair, asking: Asking) -> None:
    pair.postgres.freeze()
    try:
        for _ in range(3):
            for reply in asking.round("/readyz", "/api/v1/jobs"):
                assert (reply.status_code, "Retry-After" in reply.headers) == (503, True)
    finally:
        pair.postgres.thaw()
    back_s = time.monotonic()
    eventually(asking.is_well, "both servers work again", BACK_S)
    print(f"after {time.monotonic() - back_s:.1f} s; longest answer {asking.longest_s:.1f} s")
    assert asking.longest_s <= ANSWER_S


def test_redis_that_says_nothing_is_waited_for_by_nobody_who_asks(
    pair: Pair, asking: Asking
) -> None:
    eventually(asking.is_well, "both servers are well")
    pair.redis.freeze()
    asking.longest_s = 0.0
    try:
        for _ in range(5):
            assert asking.is_well()
        http = Client(f"http://127.0.0.1:{pair.ports[pair.leader()]}", pair.cloud.token)
        with http as leading:
            job = leading.jobs.submit(a_job("echo no hints"))
            eventually(lambda: leading.jobs.get(job.id).attempt, "it was placed", 5)
    finally:
        pair.redis.thaw()
    print(f"longest answer {asking.longest_s:.2f} s")
    assert asking.longest_s <= 1.0
    pair.cloud.await_job(job.id, "succeeded")


@pytest.mark.slow_safety
def test_a_server_starts_and_ends_while_redis_says_nothing(pair: Pair) -> None:
    pair.redis.freeze()
    try:
        began_s = time.monotonic()
        started = pair.cloud.start_server("three", free_port())
        ready_s = time.monotonic() - began_s
        started.end()
        print(f"ready after {ready_s:.1f} s, ended {time.monotonic() - began_s - ready_s:.1f} s")
    finally:
        pair.redis.thaw()
    assert ready_s <= BACK_S


@pytest.mark.slow_safety
@pytest.mark.timeout(1200)
def test_servers_that_freeze_at_any_moment_hold_up_no_other() -> None:
    tries = []
    for seed in range(TRIES):
        with a_pair() as pair:
            tries.append(freeze_leader(pair, Random(seed)))
        print(f"try {seed}: {tries[-1]}", flush=True)
    led = sorted(it.led_after_s for it in tries)
    worst = sorted(it.worst_s for it in tries)
    print(f"{TRIES} tries: led after {led[0]:.1f} to {led[-1]:.1f} s, median {median(led):.1f} s")
    print(f"worst answers {worst[0]:.1f} to {worst[-1]:.1f} s, median {median(worst):.1f} s")
    print(
        f"201: {sum(it.accepted for it in tries)}, 503: {sum(it.refused for it in tries)}, "
        f"caught: {sum(it.caught for it in tries)}, lost 0, doubled 0"
    )
