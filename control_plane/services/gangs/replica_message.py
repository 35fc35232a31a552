"""Says in words which replica, where and on which chips: what a person reads in a job's events."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from control_plane.store.models import Replica
from control_plane.store.unit_of_work import Transaction
from penstock.api.ids import NodeId
from penstock.api.states import JobType
from penstock.words import thousandths

_MOST_NAMED: Final = 4


def whose(tx: Transaction, replica: Replica) -> str:
    """For example `rank 1 on node a`; the replicas of a serving job are counted instead."""
    job = tx.jobs.get(replica.job_id)
    serves = job is not None and job.type == JobType.SERVE
    number = f"replica {replica.gang_index}" if serves else f"rank {replica.rank}"
    return f"{number} on node {node_name(tx, replica)}"


def whose_chips(tx: Transaction, replica: Replica) -> str:
    """The same with its chips, for example `rank 1 on node a (2 × emulated-a100)`."""
    return f"{whose(tx, replica)} ({chips_of([replica])})"


def node_name(tx: Transaction, replica: Replica) -> str:
    node = tx.nodes.get(replica.node_id)
    return node.name if node is not None else replica.node_id


def chips_of(replicas: Sequence[Replica]) -> str:
    """The chips of replicas, for example `1 × emulated-a100, 0.5 × emulated-910b`."""
    held: dict[str, int] = {}
    for replica in replicas:
        for chip in replica.chips:
            held[chip["type"]] = held.get(chip["type"], 0) + chip["milli"]
    words = [f"{thousandths(milli)} × {kind}" for kind, milli in sorted(held.items())]
    hosts = "host cores only" if len(replicas) == 1 else f"{len(replicas)} × host cores only"
    return ", ".join(words) or hosts


def nodes_of(replicas: Sequence[Replica], names: Mapping[NodeId, str]) -> str:
    """The names of their nodes; of many, the first few."""
    ids = list(dict.fromkeys(replica.node_id for replica in replicas))
    return first_few([names.get(node_id, node_id) for node_id in ids])


def first_few(words: Sequence[str]) -> str:
    """All of them, or the first few and how many more there are."""
    more = f" and {len(words) - _MOST_NAMED} more" if len(words) > _MOST_NAMED else ""
    return ", ".join(words[:_MOST_NAMED]) + more
