"""PostgreSQL, Redis, and three control plane processes: an API, a scheduler and its standby.

Redis is flushed, killed and empty after its start; the leader is killed and frozen. The
database alone has to be right.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import pytest

from penstock.api.jobs import Job
from penstock.api.plans import Cycle
from penstock.client.synchronous import Client
from tests.e2e.hook_receiver import Receiver, a_receiver
from tests.e2e.processes import eventually, free_port
from tests.e2e.redis_server import RedisServer, a_redis
from tests.e2e.rig import QUICK, Cloud, a_cloud
from tests.integration.databases import postgres

pytestmark = pytest.mark.slow

SCHEDULERS = ("scheduler-1", "scheduler-2")
STORM = 30


@dataclass(frozen=True, slots=True)
class Production:
    cloud: Cloud
    redis: RedisServer
    hooks: Receiver
    ports: dict[str, int]

    def cycles(self) -> list[Cycle]:
        """Newest first."""
        return list(self.cloud.client.cycles())

    def leader(self) -> str:
        """The process that says so in its log: the last one to have won."""
        lines = [
            (line, name)
            for name in SCHEDULERS
            for line in self.cloud.servers[name].log.read_text(encoding="utf-8").splitlines()
            if '"leadership"' in line and '"epoch": null' not in line
        ]
        return max(lines, key=lambda pair: _epoch(pair[0]))[1]

    def start_scheduler(self, name: str) -> None:
        parts = {"PENSTOCK_SERVER_PARTS": "scheduler,worker"}
        self.cloud.start_server(name, self.ports[name], parts)


@pytest.fixture(scope="module")
def production(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Production]:
    folder = tmp_path_factory.mktemp("backing")
    with postgres(folder) as server, server.copy() as database, a_redis(folder) as redis:
        settings = {
            **QUICK, "PENSTOCK_SERVER_DATABASE_URL": database, "PENSTOCK_SERVER_SWEEP_S": "2",
            "PENSTOCK_SERVER_REDIS_URL": redis.url, "PENSTOCK_SERVER_WEBHOOK_ALLOW_PRIVATE": "1",
        }  # fmt: skip
        with a_receiver() as hooks, a_cloud(start=False, settings=settings) as cloud:
            made = Production(cloud, redis, hooks, {name: free_port() for name in SCHEDULERS})
            made.start_scheduler(SCHEDULERS[0])
            cloud.start_server(env={"PENSTOCK_SERVER_PARTS": "api"})
            made.start_scheduler(SCHEDULERS[1])
            cloud.add_node("a", "emulated-a100:4", "--no-cpu-chip")
            yield made


def _epoch(line: str) -> int:
    return int(line.partition('"epoch": ')[2].partition(",")[0])


def submit(production: Production, name: str, script: str, **fields: Any) -> Job:
    return production.cloud.submit(
        name=name, command=["sh", "-c", script], resources={"cores": 0.25}, **fields
    )


def test_a_job_is_submitted_at_one_process_and_placed_by_another(production: Production) -> None:
    done = production.cloud.cli(
        "job", "submit", "--name", "hello", "--follow", "--", "sh", "-c", "echo 1; sleep 1; echo 2"
    )
    assert (done.returncode, done.stdout) == (0, "1\n2\n"), done.stderr
    placed = [cycle for cycle in production.cycles() if cycle.placed]
    assert [it["name"] for it in placed[0].placed] == ["hello"]
    assert production.leader() == SCHEDULERS[0]
    assert '"leadership"' not in production.cloud.server.log.read_text(encoding="utf-8")
    job = production.cloud.client.jobs.get("hello")
    assert job.started_at is not None
    waited_s = (job.started_at - job.created_at).total_seconds()
    print(f"submission to running over two processes: {waited_s:.2f} s")


def test_any_process_answers_and_they_say_the_same(production: Production) -> None:
    name = SCHEDULERS[1]
    with Client(f"http://127.0.0.1:{production.ports[name]}", production.cloud.token) as other:
        assert other.jobs.get("hello") == production.cloud.client.jobs.get("hello")
        assert other.jobs.log_text("hello") == "1\n2\n"


def test_when_the_leader_is_killed_the_standby_takes_over_under_a_higher_epoch(
    production: Production,
) -> None:
    killed, before = production.leader(), production.cycles()[0].epoch
    submit(production, "bridge", "sleep 6; echo over")
    production.cloud.await_job("bridge", "running")
    production.cloud.servers[killed].kill()
    submit(production, "after", "echo placed")
    production.cloud.await_job("after", "succeeded", within_s=30)
    assert production.leader() != killed
    assert production.cycles()[0].epoch > before
    bridged = production.cloud.await_job("bridge", "succeeded")
    assert bridged.attempt == 1
    assert production.cloud.whole_log("bridge") == ["over"]
    production.start_scheduler(killed)


def test_a_frozen_leader_that_wakes_finds_itself_deposed(production: Production) -> None:
    frozen, before = production.leader(), production.cycles()[0].epoch
    process = production.cloud.servers[frozen].child
    process.send_signal(signal.SIGSTOP)
    try:
        submit(production, "meanwhile", "echo placed")
        production.cloud.await_job("meanwhile", "succeeded", within_s=30)
    finally:
        process.send_signal(signal.SIGCONT)
    submit(production, "later", "echo placed")
    production.cloud.await_job("later", "succeeded", within_s=30)
    epochs = [cycle.epoch for cycle in reversed(production.cycles()) if cycle.committed]
    assert epochs == sorted(epochs), "no cycle of a lower epoch after one of a higher"
    assert epochs[-1] > before
    assert production.leader() != frozen


def test_flushing_redis_all_the_time_loses_no_job_and_no_webhook(production: Production) -> None:
    notify = {"webhook": production.hooks.url}
    stopping = threading.Event()
    with ThreadPoolExecutor(5) as pool:
        flushing = pool.submit(_flush_until, production.redis, stopping)
        try:
            jobs = list(
                pool.map(
                    lambda number: submit(production, f"storm-{number}", "true", notify=notify),
                    range(STORM),
                )
            )
            ended = [production.cloud.client.jobs.wait(job.id, 90) for job in jobs]
        finally:
            stopping.set()
        num_flushes = flushing.result(10)
    print(f"{num_flushes} flushes under {STORM} jobs")
    assert num_flushes > 5
    assert {(job.state, job.attempt) for job in ended} == {("succeeded", 1)}
    wanted = {job.id for job in jobs}
    eventually(lambda: _told(production.hooks) >= wanted, "every end was announced", 60)


def test_without_redis_work_goes_on_at_the_pace_of_sweeps(production: Production) -> None:
    production.redis.kill()
    try:
        submit(production, "alone", "echo no hints")
        production.cloud.await_job("alone", "succeeded", within_s=30)
        assert production.cloud.whole_log("alone") == ["no hints"]
    finally:
        production.redis.start()
    submit(production, "again", "echo hints")
    production.cloud.await_job("again", "succeeded", within_s=30)


def _flush_until(server: RedisServer, stopping: threading.Event) -> int:
    count = 0
    while not stopping.wait(0.1):
        server.flush()
        count += 1
    return count


def _told(hooks: Receiver) -> set[str]:
    return {str(body["job"]) for body in hooks.bodies}
