"""What an operator wants of a node: cordon, uncordon, drain, retire."""

from __future__ import annotations

from datetime import datetime

from control_plane.domain.machine import IllegalMove
from control_plane.errors import Conflict, PreconditionFailed
from control_plane.services.deps import Caller, Deps
from control_plane.services.gangs.moves import move_intent
from control_plane.services.gangs.settle import settle_job, stop_gang
from control_plane.services.gangs.silent_holds import silent_node_holds
from control_plane.services.nodes.read import find_node
from control_plane.store.models import Node
from control_plane.store.unit_of_work import Transaction
from penstock.api.messages import Message, say
from penstock.api.states import JobState, NodeIntent, Outcome, Role


def set_intent(
    deps: Deps, caller: Caller, ref: str, intent: NodeIntent, if_match: str | None
) -> str:
    """The node's id. `if_match` is the version that the caller saw. Draining stops what runs
    there (training writes a checkpoint first) and places it elsewhere.
    """
    caller.require(Role.ADMIN)
    now = deps.clock.now()

    def work(tx: Transaction) -> str:
        node = _find(tx, ref, if_match)
        was = NodeIntent(node.intent)
        try:
            move_intent(tx, node, intent, say("operator", by=caller.name), now)
        except IllegalMove as error:
            first = say("cordon_first") if intent is NodeIntent.RETIRED else None
            raise Conflict(
                "illegal_move", node=node.name, intent=node.intent, wanted=intent, first=first
            ) from error
        if intent is NodeIntent.RETIRED and tx.replicas.live_on(node.id):
            first = _before_retiring(tx, node, was, now)
            raise Conflict("runs_replicas", node=node.name, first=first)
        if intent is NodeIntent.DRAINING:
            drain(tx, node, now)
        return node.id

    return deps.run(work)


def drain(tx: Transaction, node: Node, now: datetime) -> None:
    """Stops every gang with a replica on the node; once none is left the node is cordoned."""
    replicas = tx.replicas.live_on(node.id)
    for gang_id in sorted({replica.gang_id for replica in replicas}):
        gang = tx.gangs.get(gang_id)
        job = tx.jobs.get(gang.job_id) if gang is not None else None
        if gang is None or job is None:
            continue
        if gang.state in (JobState.STARTING, JobState.RUNNING):
            stop_gang(tx, job, gang, Outcome.PREEMPTED, say("drained", node=node.name), now)
            settle_job(tx, job, now)
    if not replicas:
        move_intent(tx, node, NodeIntent.CORDONED, say("idle"), now, "drained")


def _before_retiring(tx: Transaction, node: Node, was: NodeIntent, now: datetime) -> Message:
    """What has to happen before a node that runs replicas leaves the pool for good."""
    held = silent_node_holds(tx, node, now)
    if held is not None:
        return say("retire_then", held=held)
    return say("retire_cordoned" if was is NodeIntent.DRAINING else "drain_first")


def _find(tx: Transaction, ref: str, if_match: str | None) -> Node:
    node = find_node(tx, ref)
    if if_match is not None and if_match.strip('"') not in ("*", str(node.version)):
        raise PreconditionFailed("precondition_failed", noun="node", name=node.name)
    return node
