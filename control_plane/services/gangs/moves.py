"""The one place where states move: checks the table, writes their fields, records the event. A
message tells why; its code is the reason too, where no other word is given.
"""

from __future__ import annotations

from datetime import datetime
from typing import Final

from control_plane.domain import endpoint as endpoint_domain
from control_plane.domain import job as job_domain
from control_plane.domain import lease as lease_domain
from control_plane.domain import node as node_domain
from control_plane.domain import replica as replica_domain
from control_plane.domain.machine import IllegalMove, StateT, Table, check_move, route
from control_plane.hints.topics import CREDENTIALS, CYCLE, ROUTES
from control_plane.services.gangs.replica_message import node_name, whose_chips
from control_plane.store.models import Chip, Endpoint, Gang, Job, Lease, Node, Replica
from control_plane.store.models.coded_message import message_columns
from control_plane.store.unit_of_work import LostRace, Transaction
from penstock.api.messages import Message, say
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

Stated = Job | Gang | Replica | Endpoint
_STATE: Final = ("state", "reason", "message", "message_document", "since")
_HEALTH: Final = ("health", *(f"health_{name}" for name in _STATE[1:]))
_INTENT: Final = ("intent", *(f"intent_{name}" for name in _STATE[1:]))


def stated(
    state: str,
    message: Message,
    now: datetime,
    reason: str | None = None,
    names: tuple[str, ...] = _STATE,
) -> dict[str, object]:
    """The fields of a state, by their columns."""
    text, document = message_columns(message)
    return dict(zip(names, (state, reason or message.code, text, document, now), strict=True))


def new_node(message: Message, now: datetime) -> dict[str, object]:
    """The states of a node that has just come."""
    health = stated(NodeHealth.JOINING, message, now, "joined", _HEALTH)
    return {**health, **stated(NodeIntent.SCHEDULABLE, say("open"), now, "joined", _INTENT)}


def change_message(row: Stated, message: Message, reason: str | None = None) -> bool:
    """Tells otherwise of a state that stays; False where the row says so already."""
    reason = reason or row.reason
    if (row.reason, row.coded_message) == (reason, message):
        return False
    _write(row, stated(row.state, message, row.since, reason))
    return True


def move_job(
    tx: Transaction,
    job: Job,
    to: JobState,
    message: Message,
    now: datetime,
    reason: str | None = None,
) -> None:
    """Moves a job, by way of the states between, each with its event."""
    for state in _way(job_domain.ALLOWED, JobState(job.state), to):
        _write(job, stated(state, message, now, reason))
        data = {"reason": job.reason, "outcome": job.outcome}
        tx.events.append("job", job.id, job.project_id, f"job.{state}", message, now, data)


def move_gang(
    tx: Transaction,
    job: Job,
    gang: Gang,
    to: JobState,
    message: Message,
    now: datetime,
    reason: str | None = None,
) -> None:
    """Moves a gang. Only serving jobs have several; for them the job's events tell of each."""
    for state in _way(job_domain.ALLOWED, JobState(gang.state), to):
        _write(gang, stated(state, message, now, reason))
        tx.hints.add(CYCLE)
        if job.type == JobType.SERVE:
            data = {"gang": gang.index, "attempt": gang.attempt, "reason": gang.reason}
            tx.events.append("job", job.id, job.project_id, f"gang.{state}", message, now, data)


def move_replica(
    tx: Transaction,
    replica: Replica,
    to: ReplicaState,
    message: Message,
    now: datetime,
    reason: str | None = None,
) -> None:
    """Moves a replica; told in its job's events, with where it is and on what it runs."""
    event = say("of_replica", whose=whose_chips(tx, replica), message=message)
    for state in _way(replica_domain.ALLOWED, ReplicaState(replica.state), to):
        _write(replica, stated(state, message, now, reason))
        data = {
            "replica": replica.id, "rank": replica.rank, "attempt": replica.attempt,
            "gang": replica.gang_index, "node": replica.node_id,
            "node_name": node_name(tx, replica), "reason": replica.reason,
            "chip_types": sorted({chip["type"] for chip in replica.chips}),
        }  # fmt: skip
        tx.events.append(
            "job", replica.job_id, replica.project_id, f"replica.{state}", event, now, data
        )


def move_health(
    tx: Transaction,
    node: Node,
    to: NodeHealth,
    message: Message,
    now: datetime,
    reason: str | None = None,
) -> None:
    """Moves a node's observed health. Capacity may have shrunk, so the version goes up."""
    for health in _way(node_domain.HEALTH_ALLOWED, NodeHealth(node.health), to):
        _write(node, stated(health, message, now, reason, _HEALTH))
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
    message = say("chip_health", chip=chip.key, node=node.name, health=to)
    tx.events.append("node", node.id, None, f"chip.{to}", message, now, {"chip": chip.id})


def move_intent(
    tx: Transaction,
    node: Node,
    to: NodeIntent,
    message: Message,
    now: datetime,
    reason: str | None = None,
) -> None:
    """Moves what the operator wants of a node."""
    for intent in _way(node_domain.INTENT_ALLOWED, NodeIntent(node.intent), to):
        _write(node, stated(intent, message, now, reason, _INTENT))
        node.version += 1
        tx.hints.update((CYCLE, ROUTES, CREDENTIALS))
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
    whose = None if replica is None else whose_chips(tx, replica)
    tx.events.append(
        "job",
        lease.job_id,
        lease.project_id,
        f"lease.{to}",
        say("lease_ended", whose=whose, state=to),
        now,
        {"replica": lease.replica_id, "epoch": lease.epoch, "node": lease.node_id},
    )


def move_endpoint(
    tx: Transaction,
    endpoint: Endpoint,
    to: EndpointState,
    message: Message,
    now: datetime,
    reason: str | None = None,
) -> None:
    """Moves an endpoint."""
    for state in _way(endpoint_domain.ALLOWED, EndpointState(endpoint.state), to):
        _write(endpoint, stated(state, message, now, reason))
        tx.hints.add(ROUTES)
        tx.events.append(
            "endpoint", endpoint.id, endpoint.project_id, f"endpoint.{state}", message, now
        )


def _way(table: Table[StateT], source: StateT, target: StateT) -> tuple[StateT, ...]:
    way = route(table, source, target)
    if way is None:
        raise IllegalMove(f"{type(source).__name__}: no way from {source} to {target}")
    return way


def _write(row: Stated | Node, fields: dict[str, object]) -> None:
    for name, value in fields.items():
        setattr(row, name, value)
