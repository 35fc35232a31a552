"""A client of the real application."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from penstock.client import Client
from tests.fakes.cloud import Cloud


@pytest.fixture
def client(cloud: Cloud, cloud_url: str) -> Iterator[Client]:
    with Client(cloud_url, cloud.admin, timeout_s=5.0) as one:
        yield one
