"""Background work on real brokers: rows are the truth, messages only make it fast."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import pytest
from celery import Celery
from celery.worker.consumer import Consumer
from sqlalchemy import select

from control_plane.domain.retries import MOST_BACKOFF_S
from control_plane.services.usage.roll_up import roll_up_usage
from control_plane.services.webhooks.deliver import CLAIM_S, MAX_TRIES, deliver_webhook
from control_plane.store.models import Delivery, Usage
from control_plane.tasks import worker as module
from control_plane.tasks.app import build_tasks
from control_plane.tasks.webhook_client import WebhookClient
from control_plane.tasks.worker import DueWork, EmbeddedWorker
from penstock.api.states import JobState
from tests.fakes.cluster import Cluster, a_task
from tests.fakes.lease_clock import CloudClock
from tests.fakes.waiting import until
from tests.fakes.webhook_receiver import Receiver
from tests.integration.tasks.redis_server import RedisServer

ROOT = Path(__file__).resolve().parents[3]
SWEEP_S = 0.1
# What a worker does depends little on the database: each broker with one of them.
on_each = pytest.mark.parametrize(
    "database_url,broker", [("sqlite", "memory"), ("postgresql", "redis")], indirect=True
)
on_sqlite = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
on_postgresql = pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)


@pytest.fixture
def broker(request: pytest.FixtureRequest) -> str | None:
    """None: in memory."""
    if request.param == "memory":
        return None
    server: RedisServer = request.getfixturevalue("redis_server")
    return server.url


@on_each
def test_the_end_of_a_job_is_told_to_its_webhook_once(
    cluster: Cluster, receiver: Receiver, broker: str | None
) -> None:
    with _working(cluster, broker):
        job_id = _end(cluster, "one", receiver)
        until(lambda: _states(cluster) == ["delivered"])
        time.sleep(3 * SWEEP_S)
    (got,) = receiver.received
    assert (got.body["job"], got.body["state"]) == (job_id, JobState.CANCELLED)
    assert got.headers["Penstock-Event"] == "job.ended"
    assert got.headers["Penstock-Delivery"].startswith("delivery_")


@on_sqlite
def test_a_webhook_that_fails_is_tried_again_after_its_back_off(
    cluster: Cluster, receiver: Receiver
) -> None:
    receiver.answers = [500, 503]
    with _working(cluster, None):
        _end(cluster, "one", receiver)
        for tries, wait_s in ((1, 1), (2, 2)):
            until(lambda tries=tries: _tries(cluster) == tries)  # type: ignore[misc]
            cluster.clock.advance(wait_s - 0.1)
            time.sleep(3 * SWEEP_S)
            assert len(receiver.received) == tries, "not before its time"
            cluster.clock.advance(0.2)
        until(lambda: _states(cluster) == ["delivered"])
    assert len({it.headers["Penstock-Delivery"] for it in receiver.received}) == 1


def test_a_webhook_that_keeps_failing_is_given_up(cluster: Cluster, receiver: Receiver) -> None:
    receiver.answers = [500] * 99
    post = WebhookClient(allow_private=True)
    _end(cluster, "one", receiver)
    for _ in range(2 * MAX_TRIES):
        deliver_webhook(cluster.deps, post, _delivery(cluster).id)
        cluster.clock.advance(1000)
    row = _delivery(cluster)
    assert (row.state, row.num_tries) == ("failed", MAX_TRIES)
    assert row.last_error == "the receiver answered 500"
    assert len(receiver.received) == MAX_TRIES


@pytest.mark.parametrize("back_s", [1.0, 299.0, 302.0, 3600.0, 7200.0, 86400.0])
def test_a_clock_that_is_set_back_delays_no_webhook_by_more_than_the_longest_back_off(
    cluster: Cluster, receiver: Receiver, back_s: float
) -> None:
    assert isinstance(cluster.clock, CloudClock)
    receiver.answers = [500]
    post = WebhookClient(allow_private=True)
    _end(cluster, "one", receiver)
    deliver_webhook(cluster.deps, post, _delivery(cluster).id)
    cluster.clock.step(-back_s)
    deliver_webhook(cluster.deps, post, _delivery(cluster).id)  # as a sweep would
    cluster.clock.advance(MOST_BACKOFF_S)
    deliver_webhook(cluster.deps, post, _delivery(cluster).id)
    assert _states(cluster) == ["delivered"]


@on_sqlite
def test_a_slow_receiver_is_asked_once_however_often_the_sweep_looks(
    cluster: Cluster, receiver: Receiver
) -> None:
    receiver.delay_s = 0.8
    with _working(cluster, None):
        _end(cluster, "one", receiver)
        until(lambda: _states(cluster) == ["delivered"])
    assert len(receiver.received) == 1


def test_messages_that_come_twice_deliver_once(cluster: Cluster, receiver: Receiver) -> None:
    receiver.delay_s = 0.2
    post = WebhookClient(allow_private=True)
    _end(cluster, "one", receiver)
    deliveries = [
        threading.Thread(target=deliver_webhook, args=(cluster.deps, post, _delivery(cluster).id))
        for _ in range(4)
    ]
    for thread in deliveries:
        thread.start()
    for thread in deliveries:
        thread.join()
    deliver_webhook(cluster.deps, post, _delivery(cluster).id)
    assert len(receiver.received) == 1


@on_sqlite
def test_what_a_worker_had_in_hand_when_it_died_is_taken_up_again(
    cluster: Cluster, receiver: Receiver
) -> None:
    class Died(BaseException):
        pass

    def dies(url: str, body: object, headers: object) -> str | None:
        raise Died

    _end(cluster, "one", receiver)
    with pytest.raises(Died):
        deliver_webhook(cluster.deps, dies, _delivery(cluster).id)
    with _working(cluster, None):
        time.sleep(3 * SWEEP_S)
        assert receiver.received == [], "somebody may still have it in hand"
        cluster.clock.advance(CLAIM_S)
        until(lambda: _states(cluster) == ["delivered"])


@on_postgresql
def test_losing_every_message_loses_nothing(
    cluster: Cluster, receiver: Receiver, redis_server: RedisServer, quick: None
) -> None:
    """FLUSHALL, again and again, while twenty jobs end."""
    with _working(cluster, redis_server.url):
        for number in range(20):
            _end(cluster, f"job-{number}", receiver)
            redis_server.empty()
        until(lambda: _states(cluster) == ["delivered"] * 20)
    assert len(receiver.received) == 20


@on_postgresql
def test_redis_may_go_and_come_back(
    cluster: Cluster, receiver: Receiver, redis_server: RedisServer, quick: None
) -> None:
    with _working(cluster, redis_server.url):
        _end(cluster, "before", receiver)
        until(lambda: _states(cluster) == ["delivered"])
        redis_server.stop()
        _end(cluster, "meanwhile", receiver)
        time.sleep(0.5)
        redis_server.start()
        until(lambda: _states(cluster) == ["delivered"] * 2, 30)


@on_postgresql
def test_workers_of_two_processes_share_the_work(
    cluster: Cluster, receiver: Receiver, redis_server: RedisServer, database_url: str
) -> None:
    receiver.delay_s = 0.3
    with (
        _another_process(cluster, database_url, redis_server.url) as another,
        _working(cluster, redis_server.url),
    ):
        until(lambda: redis_server.num_waiting() == 2)
        for number in range(10):
            _end(cluster, f"job-{number}", receiver)
        until(lambda: _states(cluster) == ["delivered"] * 10)
    assert len(receiver.received) == 10
    assert 1 <= int(another[0]) <= 9, "each made some of the deliveries"


@on_each
def test_a_pickle_is_refused_unopened(
    cluster: Cluster, receiver: Receiver, broker: str | None, tmp_path: Path
) -> None:
    canary = tmp_path / "canary"
    with _working(cluster, broker) as app:
        with app.connection_for_write() as connection:
            producer = connection.Producer()
            producer.publish(
                _makes_a_folder(canary),
                exchange="penstock",
                routing_key="penstock",
                content_type="application/x-python-serialize",
                content_encoding="binary",
                headers={"task": "penstock.roll_up_usage", "id": "1"},
                declare=[],
            )
        time.sleep(0.5)
        _end(cluster, "one", receiver)
        until(lambda: _states(cluster) == ["delivered"])
    assert not canary.exists()


@on_sqlite
def test_use_is_rolled_up_without_anybody_asking(cluster: Cluster) -> None:
    cluster.node("a")
    cluster.submit(a_task("one"))
    cluster.steps(3)
    with _working(cluster, None):
        until(lambda: _metered(cluster) > 0)
    assert roll_up_usage(cluster.deps) == 0


@on_each
def test_stopping_leaves_no_thread_and_another_may_start(
    cluster: Cluster, receiver: Receiver, broker: str | None
) -> None:
    before = set(threading.enumerate())
    for number in range(2):
        with _working(cluster, broker):
            _end(cluster, f"job-{number}", receiver)
            until(lambda number=number: len(receiver.received) == number + 1)  # type: ignore[misc]
    left = {it.name for it in set(threading.enumerate()) - before}
    assert {name for name in left if "process_request_thread" not in name} == set()


@on_sqlite
def test_a_worker_that_gave_up_is_replaced(
    cluster: Cluster, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Celery stops for good on an error that it does not know."""
    monkeypatch.setattr(module, "RESTART_S", 0.1)
    real, failures = Consumer.start, [MemoryError()]

    def start(self: Consumer) -> None:
        if failures:
            raise failures.pop()
        real(self)

    monkeypatch.setattr(Consumer, "start", start)
    with _working(cluster, None):
        _end(cluster, "one", receiver)
        until(lambda: _states(cluster) == ["delivered"])
    assert failures == []


def _makes_a_folder(path: Path) -> bytes:
    """A pickle, written by hand, that calls `os.mkdir(path)` when it is opened."""
    return f"cos\nmkdir\n(V{path}\ntR.".encode()


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """What was lost is asked for again soon."""
    monkeypatch.setattr(module, "ASK_AGAIN_S", 0.5)


@contextmanager
def _working(cluster: Cluster, redis_url: str | None) -> Iterator[Celery]:
    post = WebhookClient(allow_private=True)
    app = build_tasks(cluster.deps, post, redis_url, timedelta(days=30))
    worker = EmbeddedWorker(app)
    due = DueWork(cluster.deps, app, SWEEP_S)
    worker.start()
    due.start()
    try:
        yield app
    finally:
        due.stop()
        worker.stop()


@contextmanager
def _another_process(cluster: Cluster, database_url: str, redis_url: str) -> Iterator[list[str]]:
    """A worker of another process; afterwards the list holds what it said last."""
    now = cluster.clock.now().isoformat()
    module = "tests.integration.tasks.worker_process"
    said: list[str] = []
    with subprocess.Popen(
        (sys.executable, "-m", module, database_url, redis_url, now),
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            yield said
            out, _ = process.communicate(timeout=30)
            said += out.splitlines()
        finally:
            process.kill()


def _end(cluster: Cluster, name: str, receiver: Receiver) -> str:
    job_id = cluster.submit(a_task(name, notify={"webhook": receiver.url}))
    cluster.cancel(name)
    return job_id


def _delivery(cluster: Cluster) -> Delivery:
    with cluster.deps.store.read() as tx:
        (row,) = tx._session.scalars(select(Delivery)).all()
        return row


def _states(cluster: Cluster) -> list[str]:
    with cluster.deps.store.read() as tx:
        return list(tx._session.scalars(select(Delivery.state)))


def _tries(cluster: Cluster) -> int:
    return _delivery(cluster).num_tries


def _metered(cluster: Cluster) -> float:
    with cluster.deps.store.read() as tx:
        return sum(tx._session.scalars(select(Usage.chip_seconds)))
