"""A node is alive: renews the leases of the replicas it still holds, and names those to stop."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial

from control_plane.domain.lease import expires_at, margin_s
from control_plane.hints.topics import CYCLE
from control_plane.services.deps import Deps
from control_plane.services.gangs.moves import move_chip_health, move_health
from control_plane.services.nodes.incarnations import check_incarnation
from control_plane.services.nodes.inventory import record_inventory
from control_plane.store.models import Chip, Lease, Node
from control_plane.store.unit_of_work import Transaction
from penstock.api.assignments import HeartbeatReply, HeartbeatRequest, LeaseGrant
from penstock.api.ids import LeaseId, NodeId, ReplicaId
from penstock.api.messages import say
from penstock.api.states import ChipHealth, NodeHealth

ROTATE_AFTER = timedelta(days=30)


@dataclass(frozen=True, slots=True)
class _Beat:
    """One heartbeat as it came in. A node not heard for `silent_s` had fallen silent."""

    node_id: NodeId
    request: HeartbeatRequest
    now: datetime
    silent_s: float
    incarnation: str | None


def record_heartbeat(
    deps: Deps, node_id: NodeId, request: HeartbeatRequest, incarnation: str | None = None
) -> HeartbeatReply:
    """Idempotent. Renewal counts from now; the node counts from before it asked. Raises Conflict
    for an incarnation that does not speak for the node.

    Most heartbeats bring no news: those pass beside the transactions that decide.
    """
    now = deps.clock.now()
    beat = _Beat(node_id, request, now, deps.rules.suspect_after_s, incarnation)
    work = partial(_record, beat=beat)
    return deps.run(work, serial=False) or _not_none(deps.run(work))


def grant_of(lease: Lease, lease_time: datetime) -> LeaseGrant:
    """The lease as of now, for the node that holds it. Whatever the row says, never more than its
    TTL is granted.
    """
    left_s = (lease.expires_at - lease_time).total_seconds()
    return LeaseGrant(
        replica_id=lease.replica_id,
        epoch=lease.epoch,
        remaining_s=min(max(0.0, left_s), lease.ttl_s),
        margin_s=margin_s(lease.ttl_s),
        ttl_s=lease.ttl_s,
    )


def _record(tx: Transaction, beat: _Beat) -> HeartbeatReply | None:
    """None where there is news and the transaction is not one that may tell it."""
    node = tx.nodes.get(beat.node_id)
    assert node is not None, "the caller authenticated as this node"
    check_incarnation(node, beat.incarnation)
    request, now = beat.request, beat.now
    chips = tx.chips.known(node.id) if request.samples else {}
    samples = [(chips[it.key], it) for it in request.samples if it.key in chips]
    changed = [(chip, it.health) for chip, it in samples if chip.health != it.health]
    if changed or request.inventory is not None or _was_away(tx, node, beat):
        if not tx.serial:
            return None
        _note_news(tx, node, beat, changed)
    for chip, sample in samples:
        chip.sample = sample.model_dump(mode="json")
    grants, stop = _renew(tx, node.id, request)
    tx.nodes.beat(
        node.id,
        now,
        tx.lease_time,
        instance=request.instance,
        converged_generation=request.generation,
    )
    return HeartbeatReply(
        generation=node.generation,
        leases=grants,
        stop=stop,
        server_time=now,
        rotate_credential=now - node.credential_at > ROTATE_AFTER,
    )


def _was_away(tx: Transaction, node: Node, beat: _Beat) -> bool:
    if node.health != NodeHealth.READY or node.heard_at is None:
        return True
    return (tx.lease_time - node.heard_at).total_seconds() > beat.silent_s


def _note_news(
    tx: Transaction, node: Node, beat: _Beat, changed: list[tuple[Chip, ChipHealth]]
) -> None:
    for chip, health in changed:
        move_chip_health(tx, node, chip, health, beat.now)
    if beat.request.inventory is not None:
        record_inventory(tx, node, beat.request.inventory, beat.now)
    if node.health != NodeHealth.READY:
        move_health(tx, node, NodeHealth.READY, say("heartbeat"), beat.now)
    elif _was_away(tx, node, beat):
        # Nobody had missed it yet, but placing on it was suspended: that is over.
        tx.hints.add(CYCLE)
        tx.events.append("node", node.id, None, "node.heard", say("heard"), beat.now)


def _renew(
    tx: Transaction, node_id: NodeId, request: HeartbeatRequest
) -> tuple[tuple[LeaseGrant, ...], tuple[ReplicaId, ...]]:
    """A lease may end while we look at it: only what the update says it renewed is granted."""
    named = {(replica.replica_id, replica.epoch) for replica in request.replicas}
    leases = [it for it in tx.leases.held_on(node_id) if (it.replica_id, it.epoch) in named]
    renewed: set[LeaseId] = set()
    for ttl_s in sorted({lease.ttl_s for lease in leases}):
        ids = [lease.id for lease in leases if lease.ttl_s == ttl_s]
        renewed |= tx.leases.renew(ids, expires_at(tx.lease_time, ttl_s))
    granted = [lease for lease in leases if lease.id in renewed]
    kept = {(lease.replica_id, lease.epoch) for lease in granted}
    stop = tuple(replica_id for replica_id, epoch in sorted(named - kept))
    return tuple(grant_of(lease, tx.lease_time) for lease in granted), stop


def _not_none(reply: HeartbeatReply | None) -> HeartbeatReply:
    assert reply is not None, "a serial transaction may tell everything"
    return reply
