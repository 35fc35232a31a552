"""A fake server and clients for it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from penstock.client import Client
from tests.fakes.api_server import FakeServer, running_server
from tests.fakes.api_state import TOKEN


@pytest.fixture
def server() -> Iterator[FakeServer]:
    with running_server() as running:
        yield running


@pytest.fixture
def client(server: FakeServer) -> Iterator[Client]:
    with Client(server.url, TOKEN, timeout_s=5.0) as one:
        yield one
