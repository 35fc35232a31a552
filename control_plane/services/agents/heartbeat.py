"""A node is alive: renews the leases of the replicas it still holds, and names those to stop."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial

from control_plane.domain.lease import expires_at, margin_s
from control_plane.errors import Conflict
from control_plane.hints.topics import CYCLE
from control_plane.services.deps import Deps
from control_plane.services.gangs.moves import move_chip_health, move_health
from control_plane.services.nodes.incarnations import check_incarnation
from control_plane.services.nodes.inventory import record_inventory
from control_plane.store.models import Chip, Lease, Node
from control_plane.store.repositories.nodes import Beating, Sampled
from control_plane.store.unit_of_work import Transaction
from penstock.api.assignments import HeartbeatReply, HeartbeatRequest, LeaseGrant
from penstock.api.ids import LeaseId, NodeId, ReplicaId
from penstock.api.messages import say
from penstock.api.states import ChipHealth, NodeHealth

ROTATE_AFTER = timedelta(days=30)


@dataclass(frozen=True, slots=True)
class Beat:
    """One heartbeat as it came in."""

    node_id: NodeId
    request: HeartbeatRequest
    incarnation: str | None = None


def record_heartbeat(
    deps: Deps, node_id: NodeId, request: HeartbeatRequest, incarnation: str | None = None
) -> HeartbeatReply:
    """Idempotent. Renewal counts from now; the node counts from before it asked. Raises Conflict
    for an incarnation that does not speak for the node.
    """
    beat = Beat(node_id, request, incarnation)
    (outcome,) = record_heartbeats(deps, [beat])
    if outcome is None:
        (outcome,) = record_news(deps, [beat])
    if isinstance(outcome, Conflict):
        raise outcome
    return outcome


def record_heartbeats(deps: Deps, beats: Sequence[Beat]) -> list[HeartbeatReply | Conflict | None]:
    """What becomes of each, in one transaction for all. Most bring no news: those pass beside the
    transactions that decide. None for one that does, of which nothing is written: `record_news`
    is for it.
    """
    now = deps.clock.now()
    silent_s = deps.rules.suspect_after_s
    return deps.run(partial(_record, beats=beats, now=now, silent_s=silent_s), serial=False)


def record_news(deps: Deps, beats: Sequence[Beat]) -> list[HeartbeatReply | Conflict]:
    """Heartbeats that change what their nodes are, in one transaction for all."""
    now, silent_s = deps.clock.now(), deps.rules.suspect_after_s

    def work(tx: Transaction) -> list[HeartbeatReply | Conflict]:
        return [_record_news(tx, beat, now, silent_s) for beat in beats]

    return deps.run(work)


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


def _record_news(
    tx: Transaction, beat: Beat, now: datetime, silent_s: float
) -> HeartbeatReply | Conflict:
    node = tx.nodes.get(beat.node_id)
    assert node is not None, "the caller authenticated as this node"
    try:
        check_incarnation(node, beat.incarnation)
    except Conflict as error:
        return error
    known = tx.chips.known(node.id)
    told = [(known[it.key], it.health) for it in beat.request.samples if it.key in known]
    changed = [(chip, health) for chip, health in told if chip.health != health]
    _note_news(tx, node, beat.request, changed, _was_away(tx, node, silent_s), now)
    (outcome,) = _write(tx, tx.nodes.beating([node.id]), [beat], now)
    return outcome


def _record(
    tx: Transaction, beats: Sequence[Beat], now: datetime, silent_s: float
) -> list[HeartbeatReply | Conflict | None]:
    nodes = tx.nodes.beating({beat.node_id for beat in beats})
    chips = tx.chips.sampled({beat.node_id for beat in beats if beat.request.samples})
    outcomes: list[HeartbeatReply | Conflict | None] = [None] * len(beats)
    quiet: list[int] = []
    for at, beat in enumerate(beats):
        node = nodes[beat.node_id]
        try:
            check_incarnation(node, beat.incarnation)
        except Conflict as error:
            outcomes[at] = error
            continue
        told = [(chips.get((node.id, it.key)), it) for it in beat.request.samples]
        changed = any(chip and chip.health != sample.health for chip, sample in told)
        if not (changed or beat.request.inventory or _was_away(tx, node, silent_s)):
            quiet.append(at)
    replies = _write(tx, nodes, [beats[at] for at in quiet], now, chips)
    for at, reply in zip(quiet, replies, strict=True):
        outcomes[at] = reply
    return outcomes


def _write(
    tx: Transaction,
    nodes: Mapping[NodeId, Beating],
    beats: Sequence[Beat],
    now: datetime,
    chips: Mapping[tuple[NodeId, str], Sampled] | None = None,
) -> list[HeartbeatReply]:
    """Renews, and writes down what was told. `chips` are those of the nodes, if at hand."""
    if not beats:
        return []
    if chips is None:
        chips = tx.chips.sampled(nodes)
    samples = [
        (chips.get((beat.node_id, it.key)), it) for beat in beats for it in beat.request.samples
    ]
    tx.chips.sample({chip.id: it.model_dump(mode="json") for chip, it in samples if chip})
    renewed = _renew(tx, beats)
    told = [
        {
            "node_id": beat.node_id,
            "says_instance": beat.request.instance,
            "converged": beat.request.generation,
        }
        for beat in beats
    ]
    tx.nodes.beat(now, tx.lease_time, told)
    return [
        HeartbeatReply(
            generation=nodes[beat.node_id].generation,
            leases=granted,
            stop=stop,
            server_time=now,
            rotate_credential=now - nodes[beat.node_id].credential_at > ROTATE_AFTER,
        )
        for beat, (granted, stop) in zip(beats, renewed, strict=True)
    ]


def _was_away(tx: Transaction, node: Node | Beating, silent_s: float) -> bool:
    """Whether the node was not heard for so long that it had fallen silent."""
    if node.health != NodeHealth.READY or node.heard_at is None:
        return True
    return (tx.lease_time - node.heard_at).total_seconds() > silent_s


def _note_news(
    tx: Transaction,
    node: Node,
    request: HeartbeatRequest,
    changed: list[tuple[Chip, ChipHealth]],
    was_away: bool,
    now: datetime,
) -> None:
    for chip, health in changed:
        move_chip_health(tx, node, chip, health, now)
    if request.inventory is not None:
        record_inventory(tx, node, request.inventory, now)
    if node.health != NodeHealth.READY:
        move_health(tx, node, NodeHealth.READY, say("heartbeat"), now)
    elif was_away:
        # Nobody had missed it yet, but placing on it was suspended: that is over.
        tx.hints.add(CYCLE)
        tx.events.append("node", node.id, None, "node.heard", say("heard"), now)


def _renew(
    tx: Transaction, beats: Sequence[Beat]
) -> list[tuple[tuple[LeaseGrant, ...], tuple[ReplicaId, ...]]]:
    """What each is granted, and what it is to stop. A lease may end while we look at it: only what
    the update says it renewed is granted.
    """
    named = [{(it.replica_id, it.epoch) for it in beat.request.replicas} for beat in beats]
    holders = {beat.node_id for beat, names in zip(beats, named, strict=True) if names}
    held: dict[NodeId, list[Lease]] = defaultdict(list)
    for lease in tx.leases.held_on_any(holders) if holders else ():
        held[lease.node_id].append(lease)
    mine = [
        [it for it in held[beat.node_id] if (it.replica_id, it.epoch) in names]
        for beat, names in zip(beats, named, strict=True)
    ]
    renewed = _renewed(tx, {lease.id: lease.ttl_s for leases in mine for lease in leases})
    found = []
    for names, leases in zip(named, mine, strict=True):
        granted = [lease for lease in leases if lease.id in renewed]
        kept = {(lease.replica_id, lease.epoch) for lease in granted}
        stop = tuple(replica_id for replica_id, epoch in sorted(names - kept))
        found.append((tuple(grant_of(lease, tx.lease_time) for lease in granted), stop))
    return found


def _renewed(tx: Transaction, ttls_s: Mapping[LeaseId, float]) -> set[LeaseId]:
    renewed: set[LeaseId] = set()
    for ttl_s in sorted(set(ttls_s.values())):
        ids = [lease_id for lease_id, its in ttls_s.items() if its == ttl_s]
        renewed |= tx.leases.renew(ids, expires_at(tx.lease_time, ttl_s))
    return renewed
