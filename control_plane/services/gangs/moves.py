"""The one place where states move: checks the table, writes four fields, records the event."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Protocol

from control_plane.domain import endpoint as endpoint_domain
from control_plane.domain import job as job_domain
from control_plane.domain import lease as lease_domain
from control_plane.domain import node as node_domain
from control_plane.domain import replica as replica_domain
from control_plane.domain.machine import IllegalMove, StateT, Table, check_move, route
from control_plane.hints.topics import CYCLE, ROUTES
from control_plane.services.gangs.replica_message import node_name, whose_chips
from control_plane.store.models import Chip, Endpoint, Gang, Job, Lease, Node, Replica
from control_plane.store.unit_of_work import LostRace, Transaction
from penstock.api.states import (
    ChipHealth,
    EndpointState,
    JobState,
    JobType,
    LeaseState,
    NodeHealth,
    NodeIntent,
    ReplicaState,
)


class _Stated(Protocol):
    state: Any
    reason: Any
    message: Any
    since: Any


def move_job(
    tx: Transaction, job: Job, to: JobState, reason: str, message: str, now: datetime
) -> None:
    """Moves a job, by way of the states between, each with its event."""
    for state in _way(job_domain.ALLOWED, JobState(job.state), to):
        _set(job, state, reason, message, now)
        data = {"reason": reason, "outcome": job.outcome}
        tx.events.append("job", job.id, job.project_id, f"job.{state}", message, now, data)


def move_gang(
    tx: Transaction, job: Job, gang: Gang, to: JobState, reason: str, message: str, now: datetime
) -> None:
    """Moves a gang. Only serving jobs have several; for them the job's events tell of each."""
    for state in _way(job_domain.ALLOWED, JobState(gang.state), to):
        _set(gang, state, reason, message, now)
        tx.hints.add(CYCLE)
        if job.type == JobType.SERVE:
            data = {"gang": gang.index, "attempt": gang.attempt, "reason": reason}
            tx.events.append("job", job.id, job.project_id, f"gang.{state}", message, now, data)


def move_replica(
    tx: Transaction, replica: Replica, to: ReplicaState, reason: str, message: str, now: datetime
) -> None:
    """Moves a replica; told in its job's events, with where it is and on what it runs."""
    told = f"{whose_chips(tx, replica)}: {message}"
    for state in _way(replica_domain.ALLOWED, ReplicaState(replica.state), to):
        _set(replica, state, reason, message, now)
        data = {
            "replica": replica.id, "rank": replica.rank, "attempt": replica.attempt,
            "gang": replica.gang_index, "node": replica.node_id,
            "node_name": node_name(tx, replica), "reason": reason,
            "chip_types": sorted({chip["type"] for chip in replica.chips}),
        }  # fmt: skip
        tx.events.append(
            "job", replica.job_id, replica.project_id, f"replica.{state}", told, now, data
        )


def move_health(
    tx: Transaction, node: Node, to: NodeHealth, reason: str, message: str, now: datetime
) -> None:
    """Moves a node's observed health. Capacity may have shrunk, so the version goes up."""
    for health in _way(node_domain.HEALTH_ALLOWED, NodeHealth(node.health), to):
        node.health, node.health_reason = health, reason
        node.health_message, node.health_since = message, now
        node.version += 1
        tx.hints.update((CYCLE, ROUTES))
        tx.events.append("node", node.id, None, f"node.{health}", message, now)


def move_chip_health(
    tx: Transaction, node: Node, chip: Chip, to: ChipHealth, now: datetime
) -> None:
    """Notes that a chip turned sick or well: its node may hold less, or more, than before."""
    chip.health = to
    node.version += 1
    tx.hints.add(CYCLE)
    message = f"chip {chip.key} of node {node.name} is {to}"
    tx.events.append("node", node.id, None, f"chip.{to}", message, now, {"chip": chip.id})


def move_intent(
    tx: Transaction, node: Node, to: NodeIntent, reason: str, message: str, now: datetime
) -> None:
    """Moves what the operator wants of a node."""
    for intent in _way(node_domain.INTENT_ALLOWED, NodeIntent(node.intent), to):
        node.intent, node.intent_reason = intent, reason
        node.intent_message, node.intent_since = message, now
        node.version += 1
        tx.hints.update((CYCLE, ROUTES))
        tx.events.append("node", node.id, None, f"node.{intent}", message, now)


def end_lease(tx: Transaction, lease: Lease, to: LeaseState, now: datetime) -> None:
    """Ends a held lease; ending an ended one again changes nothing. A heartbeat may renew it at
    the same moment: then it has not expired.
    """
    if lease.state != LeaseState.HELD:
        return
    check_move(lease_domain.ALLOWED, LeaseState(lease.state), to)
    unrenewed = lease.expires_at if to is LeaseState.EXPIRED else None
    if not tx.leases.end(lease.id, to, tx.lease_time, unrenewed):
        raise LostRace(lease.id)
    tx.hints.add(CYCLE)
    replica = tx.replicas.get(lease.replica_id)
    whose = f" of {whose_chips(tx, replica)}" if replica is not None else ""
    tx.events.append(
        "job", lease.job_id, lease.project_id, f"lease.{to}", f"lease{whose} {to}", now,
        {"replica": lease.replica_id, "epoch": lease.epoch, "node": lease.node_id},
    )  # fmt: skip


def move_endpoint(
    tx: Transaction, endpoint: Endpoint, to: EndpointState, reason: str, message: str, now: datetime
) -> None:
    """Moves an endpoint."""
    for state in _way(endpoint_domain.ALLOWED, EndpointState(endpoint.state), to):
        _set(endpoint, state, reason, message, now)
        tx.hints.add(ROUTES)
        tx.events.append(
            "endpoint", endpoint.id, endpoint.project_id, f"endpoint.{state}", message, now
        )


def _way(table: Table[StateT], source: StateT, target: StateT) -> tuple[StateT, ...]:
    way = route(table, source, target)
    if way is None:
        raise IllegalMove(f"{type(source).__name__}: no way from {source} to {target}")
    return way


def _set(row: _Stated, state: str, reason: str, message: str, now: datetime) -> None:
    row.state, row.reason, row.message, row.since = state, reason, message, now
