"""What a launcher does. Called after the commit; lost calls are repeated by the sweep."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from penstock.api.ids import NodeId, ReplicaId


@dataclass(frozen=True, slots=True)
class Launch:
    """One replica to start. The same `replica_id` again is the same replica."""

    replica_id: ReplicaId
    node_id: NodeId
    epoch: int


class Launcher(Protocol):
    """Starts replicas where the plan put them. Idempotent by `replica_id`; never raises for a
    node that cannot be reached: the replica stays `assigned` and the next sweep asks again.
    """

    def launch(self, launches: Sequence[Launch]) -> None: ...
