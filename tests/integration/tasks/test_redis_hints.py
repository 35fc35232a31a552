"""Hints between two processes' hubs over a real Redis, and without it."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from control_plane.hints.hub import Hub
from control_plane.hints.redis import RedisHints
from tests.integration.tasks.redis_server import RedisServer


@pytest.fixture
def hubs(redis_server: RedisServer) -> Iterator[tuple[Hub, Hub]]:
    """Two processes of one control plane, both listening."""
    with _carrying(redis_server) as one, _carrying(redis_server) as two:
        _reach(one, two)
        _reach(two, one)
        yield one, two


def test_what_one_process_publishes_wakes_the_other(hubs: tuple[Hub, Hub]) -> None:
    one, two = hubs
    with two.listen("job:1") as woken, two.listen("job:2") as other:
        one.publish("job:1")
        assert woken.wait(5)
        assert not other.is_set()


def test_coroutines_are_woken_too(hubs: tuple[Hub, Hub]) -> None:
    one, two = hubs

    async def wait() -> None:
        with two.listen_async("job:1") as woken:
            await asyncio.to_thread(one.publish, "job:1")
            await asyncio.wait_for(woken.wait(), 5)

    asyncio.run(wait())


def test_nobody_hears_an_echo_of_what_it_published(hubs: tuple[Hub, Hub]) -> None:
    one, two = hubs
    with one.listen("job:1") as woken, two.listen("job:1") as elsewhere:
        one.publish("job:1")
        woken.clear()
        assert elsewhere.wait(5)
        assert not woken.wait(0.3)


@pytest.mark.parametrize("fault", ["stop", "freeze"])
def test_without_redis_publishing_is_as_fast_and_works_at_home(
    hubs: tuple[Hub, Hub], redis_server: RedisServer, fault: str
) -> None:
    one, two = hubs
    getattr(redis_server, fault)()
    began = time.monotonic()
    with one.listen("job:1") as woken:
        for _ in range(5000):
            one.publish("job:1")
        assert woken.is_set()
    assert time.monotonic() - began < 2
    redis_server.thaw() if fault == "freeze" else redis_server.start()
    _reach(one, two)


def test_stopping_is_quick_and_leaves_no_thread(redis_server: RedisServer) -> None:
    before = set(threading.enumerate())
    with _carrying(redis_server) as hub:
        hub.publish("job:1")
    assert set(threading.enumerate()) <= before
    redis_server.stop()
    began = time.monotonic()
    with _carrying(redis_server) as hub:
        hub.publish("job:1")
    assert time.monotonic() - began < 8
    assert set(threading.enumerate()) <= before


@contextmanager
def _carrying(server: RedisServer) -> Iterator[Hub]:
    hub = Hub()
    hints = RedisHints(server.url, hub)
    hints.start()
    try:
        yield hub
    finally:
        hints.stop()


def _reach(source: Hub, target: Hub) -> None:
    """Until the subscription stands, hints are lost: publishes until one arrives."""
    deadline = time.monotonic() + 15
    with target.listen("ping") as woken:
        while not woken.wait(0.05):
            source.publish("ping")
            assert time.monotonic() < deadline, "no hint arrives"
