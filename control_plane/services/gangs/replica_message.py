"""Says which replica, where and on which chips."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from control_plane.store.models import Replica
from control_plane.store.unit_of_work import Transaction
from penstock.api.ids import NodeId
from penstock.api.messages import Message, say
from penstock.api.states import JobType

_MOST_NAMED: Final = 4


def whose(tx: Transaction, replica: Replica, chips: Message | None = None) -> Message:
    """For example `rank 1 on node a`; the replicas of a serving job are counted instead."""
    job, node = tx.jobs.get(replica.job_id), node_name(tx, replica)
    if job is not None and job.type == JobType.SERVE:
        return say("replica", replica=replica.gang_index, node=node, chips=chips)
    return say("rank", rank=replica.rank, node=node, chips=chips)


def whose_chips(tx: Transaction, replica: Replica) -> Message:
    """The same with its chips, for example `rank 1 on node a (2 × emulated-a100)`."""
    return whose(tx, replica, chips_of([replica]))


def node_name(tx: Transaction, replica: Replica) -> str:
    node = tx.nodes.get(replica.node_id)
    return node.name if node is not None else replica.node_id


def chips_of(replicas: Sequence[Replica]) -> Message:
    """The chips of replicas, for example `1 × emulated-a100, 0.5 × emulated-910b`."""
    held: dict[str, int] = {}
    for replica in replicas:
        for chip in replica.chips:
            held[chip["type"]] = held.get(chip["type"], 0) + chip["milli"]
    if held:
        return say("chips", chips=held)
    return say("host_cores") if len(replicas) == 1 else say("hosts_cores", replicas=len(replicas))


def nodes_of(
    replicas: Sequence[Replica], names: Mapping[NodeId, str]
) -> tuple[list[str], int | None]:
    """The names of their nodes; of many, the first few."""
    ids = list(dict.fromkeys(replica.node_id for replica in replicas))
    return first_few([names.get(node_id, node_id) for node_id in ids])


def first_few(words: Sequence[str]) -> tuple[list[str], int | None]:
    """The first few, and how many more there are, if any."""
    return list(words[:_MOST_NAMED]), max(0, len(words) - _MOST_NAMED) or None
