"""Notices silent nodes, and gives their serving replicas a substitute at once."""

from __future__ import annotations

from datetime import datetime
from functools import partial

from control_plane.domain.node import health_after_silence
from control_plane.services.deps import Deps
from control_plane.services.gangs.moves import move_health
from control_plane.services.gangs.settle import finish_gang, settle_job, stop_gang
from control_plane.store.models import Node
from control_plane.store.repositories.nodes import Heard
from control_plane.store.unit_of_work import Transaction
from penstock.api.ids import NodeId
from penstock.api.messages import say
from penstock.api.states import JobState, JobType, NodeHealth, Outcome


def watch_nodes(deps: Deps, listening_since: datetime) -> int:
    """The number of nodes whose health changed. Silence counts in lease time, from when we
    began to listen: after our own absence every node gets its time to be heard.
    """
    with deps.store.read() as tx:
        due = [
            node.id
            for node in tx.nodes.last_heard_of_all()
            if _judged(deps, node, listening_since, tx.lease_time) != node.health
        ]
    for node_id in due:
        deps.run(partial(_watch, deps=deps, node_id=node_id, listening_since=listening_since))
    return len(due)


def _judged(deps: Deps, node: Node | Heard, listening_since: datetime, now: datetime) -> NodeHealth:
    heard = max(node.heard_at or listening_since, listening_since)
    return health_after_silence(
        NodeHealth(node.health),
        (now - heard).total_seconds(),
        deps.rules.suspect_after_s,
        deps.rules.lost_after_s,
    )


def _watch(tx: Transaction, deps: Deps, node_id: NodeId, listening_since: datetime) -> None:
    now = deps.clock.now()
    node = tx.nodes.get(node_id)
    if node is None:
        return
    health = _judged(deps, node, listening_since, tx.lease_time)
    if health == node.health:
        return
    move_health(tx, node, health, say("silent"), now)
    if health is NodeHealth.SUSPECT:
        substitute_servers(tx, node, now)


def substitute_servers(tx: Transaction, node: Node, now: datetime) -> None:
    """Queues the node's serving gangs for another attempt elsewhere. Their old replicas keep
    their chips until their leases end: only those wait.
    """
    for replica in tx.replicas.live_on(node.id):
        gang, job = tx.gangs.get(replica.gang_id), tx.jobs.get(replica.job_id)
        if gang is None or job is None or job.type != JobType.SERVE:
            continue
        if gang.attempt != replica.attempt or gang.state not in (
            JobState.STARTING,
            JobState.RUNNING,
        ):
            continue
        gang.infrastructure_failures += 1
        gang.failures_in_a_row += 1
        stop_gang(tx, job, gang, Outcome.RETRY, say("node_silent", node=node.name), now)
        finish_gang(tx, job, gang, now)
        gang.not_before = None
        settle_job(tx, job, now)
