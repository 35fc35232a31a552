"""Chooses a replica: least outstanding requests, weighted by measured speed. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager

from control_plane.services.endpoints.routes import Route
from penstock.api.ids import ReplicaId


class Balancer:
    """Counts what is under way per replica. One per process, used from one event loop."""

    def __init__(self) -> None:
        self._outstanding: Counter[str] = Counter()

    def choose(self, routes: Sequence[Route], tried: Collection[str] = ()) -> Route | None:
        """The replica that would finish one more request soonest; ties by speed, then id.

        A replica whose speed is not known yet counts as fast as the slowest known one.
        """
        left = [route for route in routes if route.replica_id not in tried]
        known = [route.weight for route in left if route.weight]
        unknown = min(known, default=1.0)

        def load(route: Route) -> tuple[float, float, str]:
            weight = route.weight or unknown
            return ((self._outstanding[route.replica_id] + 1) / weight, -weight, route.replica_id)

        return min(left, key=load, default=None)

    @contextmanager
    def request(self, route: Route) -> Iterator[None]:
        """Counts a request as outstanding while it runs."""
        self._outstanding[route.replica_id] += 1
        try:
            yield
        finally:
            self._outstanding[route.replica_id] -= 1
            if not self._outstanding[route.replica_id]:
                del self._outstanding[route.replica_id]

    def outstanding(self, replica_id: ReplicaId) -> int:
        return self._outstanding[replica_id]
