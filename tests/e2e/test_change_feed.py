"""The change feed over two servers and one PostgreSQL, under as many commits as the machine makes:
whoever goes on at the other server misses nothing, and nobody is told more than it may know.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from random import Random
from typing import Any, Final

import httpx
import psycopg
import pytest
from httpx_sse import EventSource
from redis import Redis

from control_plane.hints.redis import CHANNEL
from control_plane.hints.topics import EVENTS
from penstock.api.tokens import TokenRequest
from tests.e2e.test_two_servers import SERVERS, Pair, a_job, a_pair
from tests.storm.backing import binaries

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(binaries() is None, reason="no PostgreSQL on this machine"),
]

WRITERS: Final = 4
JOBS: Final = 400
"""Of each project; half of them are changed again and again, the others once, by who is late."""
LOAD_S: Final = 8.0
_COPIES: Final = """
    INSERT INTO jobs SELECT (jsonb_populate_record(j, jsonb_build_object(
        'id', 'job_' || md5(j.id || n), 'name', j.name || '-' || n))).*
    FROM jobs j, generate_series(1, %s) AS n WHERE j.id = %s
"""
_CHANGE: Final = "UPDATE jobs SET version = version + 1 WHERE id = %s"


@dataclass(slots=True)
class Told:
    """What one follower was told so far, over all its connections."""

    versions: dict[str, int] = field(default_factory=dict)
    last_id: str | None = None
    resets: int = 0
    messages: int = 0
    seconds: float = 0.0

    def follow(self, url: str, token: str, seconds: float) -> None:
        """One connection, which goes on after the one before; it ends with a message."""
        headers = {"Authorization": f"Bearer {token}", "Accept": "text/event-stream"}
        headers |= {} if self.last_id is None else {"Last-Event-ID": self.last_id}
        began_s = time.monotonic()
        timeout = httpx.Timeout(10.0)
        with (
            httpx.Client(timeout=timeout, trust_env=False) as http,
            http.stream("GET", f"{url}/api/v1/changes", headers=headers) as answer,
        ):
            for sent in EventSource(answer).iter_sse():
                if not sent.data:
                    continue
                self._take(sent.id, json.loads(sent.data))
                if time.monotonic() > began_s + seconds:
                    break
        self.seconds += time.monotonic() - began_s

    def _take(self, cursor: str, message: dict[str, Any]) -> None:
        self.last_id = cursor
        self.messages += 1
        self.resets += message["reset"]
        for change in message["changes"]:
            known = self.versions.get(change["id"], 0)
            self.versions[change["id"]] = max(known, change["version"])


@dataclass(slots=True)
class Load:
    """Writers that commit beside one another, without the turns of those that decide."""

    pair: Pair
    jobs: list[str]
    stopping: threading.Event = field(default_factory=threading.Event)
    commits: int = 0
    late: int = 0

    @contextmanager
    def running(self) -> Iterator[None]:
        often, once = self.jobs[::2], self.jobs[1::2]
        threads = [
            threading.Thread(target=self._write, args=(often[one::WRITERS],))
            for one in range(WRITERS)
        ]
        threads += [
            threading.Thread(target=self._commit_late, args=(once[one::2], one)) for one in (0, 1)
        ]
        threads.append(threading.Thread(target=self._hint))
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            self.stopping.set()
            for thread in threads:
                thread.join(30)

    def _write(self, jobs: list[str]) -> None:
        with self._connect() as connection:
            while not self.stopping.is_set():
                for job in jobs:
                    connection.execute(_CHANGE, (job,))
                    self.commits += 1

    def _commit_late(self, jobs: list[str], seed: int) -> None:
        """Each is changed once, in a transaction that others overtake."""
        random = Random(seed)
        with self._connect() as connection:
            for job in jobs:
                if self.stopping.is_set():
                    return
                with connection.transaction():
                    connection.execute(_CHANGE, (job,))
                    time.sleep(random.uniform(0.0, 0.3))  # others commit meanwhile
                self.late += 1

    def _hint(self) -> None:
        """As servers say to one another that something happened."""
        with Redis.from_url(self.pair.redis.url) as redis:
            while not self.stopping.wait(0.002):
                redis.publish(CHANNEL, f"writers {EVENTS}")

    def _connect(self) -> psycopg.Connection[Any]:
        url = self.pair.postgres.url.replace("+psycopg", "")
        return psycopg.connect(url, autocommit=True)


@pytest.fixture(scope="module")
def pair() -> Iterator[Pair]:
    with a_pair() as made:
        yield made


def _tenant(pair: Pair, name: str) -> str:
    """The token of a member of a new project, which has that many jobs that have ended."""
    client = pair.cloud.client
    client.projects.create(name)
    token = client.tokens.create(TokenRequest(name=name, project=name)).secret
    job = client.jobs.submit({**a_job("true", cores=64), "name": name, "project": name})
    client.jobs.cancel(job.id)
    with psycopg.connect(pair.postgres.url.replace("+psycopg", "")) as connection:
        connection.execute(_COPIES, (JOBS, job.id))
    return token


def test_who_hops_between_servers_misses_nothing_and_learns_of_nothing_else(pair: Pair) -> None:
    token, _ = _tenant(pair, "mine"), _tenant(pair, "theirs")
    urls = [f"http://127.0.0.1:{pair.ports[name]}" for name in SERVERS]
    every = pair.rows("SELECT id, project FROM jobs WHERE name LIKE '%-%' ORDER BY md5(id)")
    hopping, staying, random = Told(), Told(), Random(1)
    hopping.follow(urls[0], token, 0.0)
    stays = threading.Thread(target=staying.follow, args=(urls[1], pair.cloud.token, LOAD_S))
    load = Load(pair, [job for job, _ in every])
    before = dict(pair.rows("SELECT id, version FROM jobs"))
    began_s = time.monotonic()
    with load.running():
        stays.start()
        hops = 0
        while time.monotonic() < began_s + LOAD_S:
            hops += 1
            hopping.follow(urls[hops % 2], token, random.uniform(0.0, 0.6))
        took_s = time.monotonic() - began_s
    stays.join(30)
    wanted = {
        job: version
        for job, version in pair.rows("SELECT id, version FROM jobs WHERE project = 'mine'")
        if version != before[job]
    }

    rest_s = time.monotonic()
    while hopping.versions != wanted:
        hopping.follow(urls[0], token, 0.0)
    print(
        f"{load.commits / took_s:,.0f} commits/s, {load.late} late ones, {hops} hops, "
        f"{len(wanted)} jobs told, {staying.messages / staying.seconds:.1f} messages/s, "
        f"the rest after {time.monotonic() - rest_s:.1f} s"
    )
    assert hopping.resets == 1, "only the first says to list anew"
    assert load.late > 10
    assert staying.messages <= 10 * staying.seconds + 1
    assert {job for job, project in every if project == "theirs"} & set(staying.versions)
