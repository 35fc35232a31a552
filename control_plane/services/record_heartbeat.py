"""A node is alive: renews the leases of the replicas it still holds, and names those to stop."""

from __future__ import annotations

from datetime import datetime, timedelta
from functools import partial

from control_plane.domain.lease import expires_at, margin_s
from control_plane.services.deps import Deps
from control_plane.services.moves import move_chip_health, move_health
from control_plane.services.record_inventory import record_inventory
from control_plane.store.models import Chip, Lease, Node
from control_plane.store.unit_of_work import Transaction
from penstock.api.assignments import HeartbeatReply, HeartbeatRequest, LeaseGrant
from penstock.api.states import ChipHealth, NodeHealth

ROTATE_AFTER = timedelta(days=30)


def record_heartbeat(deps: Deps, node_id: str, request: HeartbeatRequest) -> HeartbeatReply:
    """Idempotent. Renewal counts from now; the node counts from before it asked.

    Most heartbeats bring no news: those pass beside the transactions that decide.
    """
    work = partial(_record, node_id=node_id, request=request, now=deps.clock.now())
    return deps.run(work, serial=False) or _not_none(deps.run(work))


def grant_of(lease: Lease, now: datetime) -> LeaseGrant:
    """The lease as of now, for the node that holds it."""
    return LeaseGrant(
        replica_id=lease.replica_id,
        epoch=lease.epoch,
        remaining_s=max(0.0, (lease.expires_at - now).total_seconds()),
        margin_s=margin_s(lease.ttl_s),
    )


def _record(
    tx: Transaction, node_id: str, request: HeartbeatRequest, now: datetime
) -> HeartbeatReply | None:
    """None where there is news and the transaction is not one that may tell it."""
    node = tx.nodes.get(node_id)
    assert node is not None, "the caller authenticated as this node"
    chips = tx.nodes.known_chips(node_id) if request.samples else {}
    sick = [it for it in request.samples if it.key in chips and chips[it.key].health != it.health]
    if sick or request.inventory is not None or node.health != NodeHealth.READY:
        if not tx.serial:
            return None
        _note_news(tx, node, request, [(chips[it.key], it.health) for it in sick], now)
    for sample in request.samples:
        if sample.key in chips:
            chips[sample.key].sample = sample.model_dump(mode="json")
    grants, stop = _renew(tx, node_id, request, now)
    tx.nodes.beat(
        node_id, now, instance=request.instance, converged_generation=request.generation
    )  # fmt: skip
    return HeartbeatReply(
        generation=node.generation, leases=grants, stop=stop, server_time=now,
        rotate_credential=now - node.credential_at > ROTATE_AFTER,
    )  # fmt: skip


def _note_news(
    tx: Transaction, node: Node, request: HeartbeatRequest,
    changed: list[tuple[Chip, ChipHealth]], now: datetime,
) -> None:  # fmt: skip
    for chip, health in changed:
        move_chip_health(tx, node, chip, health, now)
    if request.inventory is not None:
        record_inventory(tx, node, request.inventory, now)
    if node.health != NodeHealth.READY:
        move_health(tx, node, NodeHealth.READY, "heartbeat", "heartbeats arrive", now)


def _renew(
    tx: Transaction, node_id: str, request: HeartbeatRequest, now: datetime
) -> tuple[tuple[LeaseGrant, ...], tuple[str, ...]]:
    """A lease may end while we look at it: only what the update says it renewed is granted."""
    named = {(replica.replica_id, replica.epoch) for replica in request.replicas}
    leases = [it for it in tx.leases.held_on(node_id) if (it.replica_id, it.epoch) in named]
    renewed: set[str] = set()
    for ttl_s in sorted({lease.ttl_s for lease in leases}):
        ids = [lease.id for lease in leases if lease.ttl_s == ttl_s]
        renewed |= tx.leases.renew(ids, expires_at(now, ttl_s))
    granted = [lease for lease in leases if lease.id in renewed]
    kept = {(lease.replica_id, lease.epoch) for lease in granted}
    stop = tuple(replica_id for replica_id, epoch in sorted(named - kept))
    return tuple(grant_of(lease, now) for lease in granted), stop


def _not_none(reply: HeartbeatReply | None) -> HeartbeatReply:
    assert reply is not None, "a serial transaction may tell everything"
    return reply
