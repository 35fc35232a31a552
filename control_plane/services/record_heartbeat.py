"""A node is alive: renews the leases of the replicas it still holds, and names those to stop."""

from __future__ import annotations

from datetime import datetime, timedelta

from control_plane.domain.lease import expires_at, margin_s
from control_plane.services.deps import Deps
from control_plane.services.moves import move_health
from control_plane.services.record_inventory import record_inventory
from control_plane.store.models import Lease, Node
from control_plane.store.unit_of_work import Transaction
from control_plane.topics import CYCLE
from penstock.api.assignments import HeartbeatReply, HeartbeatRequest, LeaseGrant
from penstock.api.chips import ChipSample
from penstock.api.states import NodeHealth

ROTATE_AFTER = timedelta(days=30)


def record_heartbeat(deps: Deps, node_id: str, request: HeartbeatRequest) -> HeartbeatReply:
    """Idempotent. Renewal counts from now; the node counts from before it asked."""
    now = deps.clock.now()

    def work(tx: Transaction) -> HeartbeatReply:
        node = tx.nodes.get(node_id)
        assert node is not None, "the caller authenticated as this node"
        _note_alive(tx, node, request, now)
        grants, stop = _renew(tx, node_id, request, now)
        tx.nodes.beat(
            node_id, now, instance=request.instance, converged_generation=request.generation
        )
        return HeartbeatReply(
            generation=node.generation, leases=grants, stop=stop, server_time=now,
            rotate_credential=now - node.credential_at > ROTATE_AFTER,
        )  # fmt: skip

    return deps.run(work)


def grant_of(lease: Lease, now: datetime) -> LeaseGrant:
    """The lease as of now, for the node that holds it."""
    return LeaseGrant(
        replica_id=lease.replica_id,
        epoch=lease.epoch,
        remaining_s=max(0.0, (lease.expires_at - now).total_seconds()),
        margin_s=margin_s(lease.ttl_s),
    )


def _note_alive(tx: Transaction, node: Node, request: HeartbeatRequest, now: datetime) -> None:
    if request.inventory is not None:
        record_inventory(tx, node, request.inventory, now)
    if request.samples:
        _record_samples(tx, node, request.samples)
    if node.health != NodeHealth.READY:
        move_health(tx, node, NodeHealth.READY, "heartbeat", "heartbeats arrive", now)


def _record_samples(tx: Transaction, node: Node, samples: tuple[ChipSample, ...]) -> None:
    known = tx.nodes.known_chips(node.id)
    for sample in samples:
        chip = known.get(sample.key)
        if chip is None:
            continue
        chip.sample = sample.model_dump(mode="json")
        if chip.health != sample.health:
            chip.health = sample.health
            node.version += 1
            tx.hints.add(CYCLE)


def _renew(
    tx: Transaction, node_id: str, request: HeartbeatRequest, now: datetime
) -> tuple[tuple[LeaseGrant, ...], tuple[str, ...]]:
    held = {(lease.replica_id, lease.epoch): lease for lease in tx.leases.held_on(node_id)}
    renewed: list[Lease] = []
    stop: list[str] = []
    for replica in request.replicas:
        lease = held.get((replica.replica_id, replica.epoch))
        if lease is None:
            stop.append(replica.replica_id)
            continue
        lease.expires_at = expires_at(now, lease.ttl_s)
        renewed.append(lease)
    return tuple(grant_of(lease, now) for lease in renewed), tuple(stop)
