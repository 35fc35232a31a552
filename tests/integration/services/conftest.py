"""The rig of the write path's tests, over both databases."""

from __future__ import annotations

import pytest

from control_plane.clock import ManualClock
from control_plane.services.deps import Deps
from tests.fakes.cluster import Cluster


@pytest.fixture
def cluster(deps: Deps, clock: ManualClock) -> Cluster:
    """Without any node yet."""
    return Cluster(deps, clock)
