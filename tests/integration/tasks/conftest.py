"""A receiver of webhooks, a real Redis, and the rig."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest

from control_plane.clock import ManualClock
from control_plane.services.deps import Deps
from tests.fakes.cluster import Cluster
from tests.fakes.webhook_receiver import Receiver
from tests.integration.tasks.redis_server import RedisServer


@pytest.fixture
def cluster(deps: Deps, clock: ManualClock) -> Cluster:
    """One whose webhooks may stay on this machine."""
    return Cluster(replace(deps, rules=replace(deps.rules, allows_private_webhooks=True)), clock)


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as running:
        yield running


@pytest.fixture(scope="session")
def _redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    if not RedisServer.is_installed():
        pytest.skip("no redis-server on this machine")
    server = RedisServer(tmp_path_factory.mktemp("redis"))
    server.start()
    yield server
    server.stop()


@pytest.fixture
def redis_server(_redis: RedisServer) -> RedisServer:
    """Empty, and up again whatever the test before did to it."""
    if not _redis.answers():
        _redis.stop()
        _redis.start()
    _redis.empty()
    return _redis
