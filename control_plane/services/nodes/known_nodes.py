"""Which agents have just shown whose credential: looked up once, and again when that is old."""

from __future__ import annotations

import time
from typing import Final

from control_plane.ids import hash_secret
from penstock.api.ids import NodeId

MAX_REMEMBERED: Final = 50_000


class KnownNodes:
    """One per process, forgotten whenever some agent may speak for its node no longer."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, str | None], tuple[NodeId, float]] = {}
        self.num_cleared = 0

    def get(self, secret: str, incarnation: str | None) -> NodeId | None:
        node_id, until = self._known.get((hash_secret(secret), incarnation), (None, 0.0))
        return node_id if time.monotonic() < until else None

    def put(
        self, secret: str, incarnation: str | None, node_id: NodeId, as_of: int, remember_s: float
    ) -> None:
        """`as_of` is `num_cleared` before the look: what changed since may not be in it."""
        if len(self._known) >= MAX_REMEMBERED:
            self._known.clear()
        if as_of == self.num_cleared:
            until = time.monotonic() + remember_s
            self._known[hash_secret(secret), incarnation] = node_id, until

    def clear(self) -> None:
        """Any thread may call it."""
        self.num_cleared += 1
        self._known = {}
