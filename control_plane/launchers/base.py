"""What a launcher does: it owns the processes of the nodes that name it.

Nodes of the launcher `agent` need none here: their agent fetches its list by a long poll, which is
its `apply`, and reports what it sees, which is its `observe`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from penstock.api.assignments import AssignmentList, Observation
from penstock.api.ids import NodeId


class Unreachable(Exception):
    """What owns the processes does not answer; the next sweep asks again."""


class Launcher(Protocol):
    """Both calls may be repeated, late, or lost. They raise Unreachable."""

    def apply(self, node_id: NodeId, desired: AssignmentList) -> None:
        """Makes the list true on that node, as far as it can now. The same list again changes
        nothing, and neither does one of an older generation than it has had.
        """

    def observe(self, node_id: NodeId) -> Sequence[Observation]:
        """What it sees of the node's replicas, whether that was told before or not. An end is told
        only once nothing of the replica can run any more: it gives the lease back.
        """
