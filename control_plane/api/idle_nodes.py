"""Nodes that have nothing to run: their agents wait without a look into the database."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

from control_plane.hints.topics import CREDENTIALS, node_of
from penstock.api.assignments import AssignmentList
from penstock.api.ids import NodeId


@dataclass(slots=True)
class IdleNodes:
    """One per application. What is known is forgotten as soon as something of a node changes."""

    num_changes: int = 0
    _known: dict[NodeId, tuple[AssignmentList, float]] = field(default_factory=dict)

    def get(self, node_id: NodeId) -> AssignmentList | None:
        """Its list, which has nothing in it; None where that is not known."""
        known, until = self._known.get(node_id, (None, 0.0))
        return known if time.monotonic() < until else None

    def put(self, node_id: NodeId, found: AssignmentList, as_of: int, remember_s: float) -> None:
        """`as_of` is `num_changes` before the look: what changed since may not be in it."""
        if not found.assignments and as_of == self.num_changes:
            self._known[node_id] = found, time.monotonic() + remember_s

    def changed(self, topic: str) -> None:
        """Any thread may call it, at every hint."""
        node_id = node_of(topic)
        if node_id is not None:
            self.num_changes += 1
            self._known.pop(node_id, None)
        elif topic == CREDENTIALS:
            self.num_changes += 1
            self._known = {}
