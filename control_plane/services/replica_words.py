"""Says in words which replica, where and on which chips: what a person reads in a job's events."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from control_plane.store.models import Replica
from control_plane.store.unit_of_work import Transaction

_MOST_NODES: Final = 4


def who(tx: Transaction, replica: Replica) -> str:
    """For example `rank 1 on node-a (2 × emulated-a100)`. A serving job's replicas are counted."""
    number = replica.gang_index or replica.rank
    return f"rank {number} on {node_name(tx, replica)} ({chips_of([replica])})"


def node_name(tx: Transaction, replica: Replica) -> str:
    node = tx.nodes.get(replica.node_id)
    return node.name if node is not None else replica.node_id


def chips_of(replicas: Sequence[Replica]) -> str:
    """The chips of replicas, for example `1 × emulated-a100, 0.5 × emulated-910b`."""
    held: dict[str, int] = {}
    for replica in replicas:
        for chip in replica.chips:
            held[chip["type"]] = held.get(chip["type"], 0) + chip["milli"]
    words = [f"{milli / 1000:g} × {kind}" for kind, milli in sorted(held.items())]
    hosts = "host cores only" if len(replicas) == 1 else f"{len(replicas)} × host cores only"
    return ", ".join(words) or hosts


def nodes_of(replicas: Sequence[Replica], names: Mapping[str, str]) -> str:
    """The names of their nodes; of many, the first few."""
    ids = list(dict.fromkeys(replica.node_id for replica in replicas))
    words = [names.get(node_id, node_id) for node_id in ids[:_MOST_NODES]]
    more = f" and {len(ids) - _MOST_NODES} more" if len(ids) > _MOST_NODES else ""
    return ", ".join(words) + more
