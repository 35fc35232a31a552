"""Lets one start of an agent at a time speak for its node, and refuses all others."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from functools import partial

from control_plane.domain.incarnation import Claim, Hold, Obstacle, obstacle, takeover_obstacle
from control_plane.domain.lease import Proof, over_at
from control_plane.errors import Conflict
from control_plane.hints.topics import CREDENTIALS
from control_plane.services.deps import Deps
from control_plane.store.models import Lease, Node
from control_plane.store.repositories.nodes import Beating
from control_plane.store.unit_of_work import Transaction
from penstock.api.assignments import BeginReply, BeginRequest
from penstock.api.ids import NodeId
from penstock.api.messages import Message, say
from penstock.api.states import ReplicaState


def begin_incarnation(deps: Deps, node_id: NodeId, request: BeginRequest) -> BeginReply:
    """From now on this incarnation speaks for the node. The same one again changes nothing.

    Raises Conflict `incarnation_waits` while the one before may still run something there.
    """
    refusal = deps.run(partial(_begin, deps=deps, node_id=node_id, request=request))
    if refusal is not None:
        raise refusal
    return BeginReply(incarnation=request.incarnation)


def check_incarnation(node: Node | Beating, incarnation: str | None) -> None:
    """Raises Conflict `incarnation_superseded` unless this one speaks for the node. Agents of
    older versions name none, and speak for nodes that never had one.
    """
    if node.incarnation is not None and node.incarnation != incarnation:
        raise Conflict("incarnation_superseded", node=node.name)


def check_takeover(tx: Transaction, deps: Deps, node: Node) -> None:
    """Raises Conflict `node_name_taken` while an agent under this name may still run something:
    a new identity gets none of its replicas, and starts none a second time.
    """
    holds = _holds(tx, node)
    waits = takeover_obstacle(holds, heard=_is_heard(tx, deps, node))
    if waits is not None:
        raise Conflict("node_name_taken", node=node.name, until=_until(tx, node, waits))


def _begin(tx: Transaction, deps: Deps, node_id: NodeId, request: BeginRequest) -> Conflict | None:
    now = deps.clock.now()
    node = tx.nodes.get(node_id)
    assert node is not None, "the caller authenticated as this node"
    proven = {(it.replica_id, it.epoch) for it in request.held if it.proven}
    claim = Claim(request.incarnation, frozenset(request.previous), frozenset(proven))
    waits = obstacle(claim, node.incarnation, _holds(tx, node), heard=_is_heard(tx, deps, node))
    if waits is None:
        node.incarnation, node.refused_incarnation = claim.incarnation, None
        tx.hints.add(CREDENTIALS)
        return None
    waits_for = say("agent_heard") if waits is Obstacle.HEARD else say("leases_held")
    message = say("incarnation_refused", node=node.name, waits=waits_for)
    if node.refused_incarnation is None:  # one alert: two copies may ask in turn without end
        tx.events.append("node", node.id, None, "node.incarnation_refused", message, now)
    node.refused_incarnation = claim.incarnation
    return Conflict("incarnation_waits", node=node.name, until=_until(tx, node, waits))


def _holds(tx: Transaction, node: Node) -> list[Hold]:
    leases = _agents(tx.leases.held_on(node.id))
    replicas = tx.replicas.many({lease.replica_id for lease in leases})
    return [
        Hold((it.replica_id, it.epoch), replicas[it.replica_id].state != ReplicaState.ASSIGNED)
        for it in leases
        if it.replica_id in replicas
    ]


def _agents(leases: Sequence[Lease]) -> list[Lease]:
    """Those of processes that the agent owns: a new start of it may not run others twice."""
    return [it for it in leases if it.proof == Proof.DEADLINE]


def _is_heard(tx: Transaction, deps: Deps, node: Node) -> bool:
    silence = timedelta(seconds=deps.rules.suspect_after_s)
    if node.last_heartbeat_at is None or node.heard_at is None:
        return False  # it only enrolled
    return tx.lease_time - node.heard_at <= silence


def _until(tx: Transaction, node: Node, waits: Obstacle) -> Message:
    if waits is Obstacle.HEARD:
        return say("its_agent_heard")
    ends = [over_at(it.expires_at, it.ttl_s) for it in _agents(tx.leases.held_on(node.id))]
    left_s = max((end - tx.lease_time).total_seconds() for end in ends)
    return say("held_for", left_s=round(max(0.0, left_s)))
