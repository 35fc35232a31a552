"""A reader of streams, and a node that has joined."""

from __future__ import annotations

import pytest
from starlette.testclient import TestClient

from tests.integration.api.followers import Follower
from tests.integration.api.world import Agent, join


@pytest.fixture
def follower(live_api: str, admin_secret: str) -> Follower:
    return Follower(live_api, admin_secret)


@pytest.fixture
def agent(api_client: TestClient) -> Agent:
    return join(api_client, "a")
