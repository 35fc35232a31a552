"""Tells what a node that is not heard of still holds, until when, and what comes then. A lease is
never cut short: what runs there cannot be seen to have ended before.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Final

from control_plane.domain.lease import Proof, over_at
from control_plane.services.gangs.replica_message import first_few
from control_plane.services.gangs.verdict import outcome_if_lost
from control_plane.store.models import Gang, Job, Lease, Node, Replica
from control_plane.store.unit_of_work import Transaction
from penstock.api.ids import GangId, NodeId
from penstock.api.messages import Message, say
from penstock.api.states import JobType, NodeHealth, Outcome

_SILENT: Final = (NodeHealth.SUSPECT, NodeHealth.LOST)
_THEN: Final[Mapping[str, Message]] = {
    Outcome.SUCCEEDED: say("job_ends"),
    Outcome.FAILED: say("job_given_up"),
    Outcome.CANCELLED: say("cancellation_done"),
}


def silent_holds(tx: Transaction, job: Job, gangs: Sequence[Gang], now: datetime) -> list[Message]:
    """Of the job's present attempts, for example `rank 0 is on node a, unheard of since 2026-03-01
    12:00:00 UTC; its lease ends at 2026-03-01 12:05:11 UTC, then the job starts elsewhere`.
    """
    present = {(gang.id, gang.attempt): gang for gang in gangs}
    held: dict[tuple[GangId, NodeId], list[Replica]] = defaultdict(list)
    for replica in tx.replicas.live_of([job.id]):
        if (replica.gang_id, replica.attempt) in present:
            held[replica.gang_id, replica.node_id].append(replica)
    nodes = tx.nodes.many({node_id for _, node_id in held})
    leases = {lease.replica_id: lease for lease in tx.leases.held_by_jobs([job.id])}
    found = []
    for (_, node_id), there in sorted(held.items()):
        of_them = [leases[it.id] for it in there if it.id in leases]
        if nodes[node_id].health in _SILENT and of_them:
            gang = present[there[0].gang_id, there[0].attempt]
            outcome = gang.outcome or outcome_if_lost(tx, job, gang, there[0], now)
            then = _THEN.get(outcome, say("starts_elsewhere"))
            ends = _ends(tx, nodes[node_id], of_them, now)
            found.append(
                say("held_by_silent", who=_who(job, there), num=len(there), held=ends, then=then)
            )
    return found


def silent_node_holds(tx: Transaction, node: Node, now: datetime) -> Message | None:
    """The same of all that a node holds; None for one that is heard of, or holds nothing."""
    leases = tx.leases.held_on(node.id)
    return _ends(tx, node, leases, now) if node.health in _SILENT and leases else None


def _who(job: Job, replicas: Sequence[Replica]) -> Message:
    if job.type == JobType.SERVE:
        return say("the_replica", replica=replicas[0].gang_index)
    ranks, more = first_few([str(rank) for rank in sorted(it.rank for it in replicas)])
    return say("ranks", num=len(replicas), ranks=ranks, more=more)


def _ends(tx: Transaction, node: Node, leases: Sequence[Lease], now: datetime) -> Message:
    since = node.last_heartbeat_at or node.created_at
    if any(lease.proof == Proof.OWNER for lease in leases):
        return say("silent_node_of_owner", node=node.name, since=since, launcher=node.launcher)
    last = (now - tx.lease_time) + max(over_at(lease.expires_at, lease.ttl_s) for lease in leases)
    return say("silent_node", node=node.name, since=since, leases=len(leases), ends=last)
