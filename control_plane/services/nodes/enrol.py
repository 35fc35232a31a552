"""Enrols nodes with single-use join tokens, knows them by their credential, rotates it."""

from __future__ import annotations

import hmac
from collections.abc import Callable
from datetime import datetime

from control_plane.domain.lease import AGENT
from control_plane.errors import Conflict, Invalid, Unauthenticated
from control_plane.hints.topics import CREDENTIALS
from control_plane.ids import hash_secret, new_id, new_secret
from control_plane.services.deps import Deps
from control_plane.services.gangs.moves import new_node
from control_plane.services.nodes.incarnations import check_takeover
from control_plane.services.nodes.inventory import record_inventory
from control_plane.store.models import Node
from control_plane.store.unit_of_work import Transaction
from penstock.api.assignments import CredentialReply, EnrolReply, EnrolRequest
from penstock.api.ids import NodeId
from penstock.api.messages import say
from penstock.api.states import NodeIntent

MOST_NAME = 128


def check_join_token(deps: Deps, secret: str) -> None:
    """Raises Unauthenticated for a token that is unknown, used or expired."""
    with deps.store.read() as tx:
        if not tx.join_tokens.holds(hash_secret(secret), deps.clock.now()):
            raise Unauthenticated("bad_join_token")


def enrol_node(deps: Deps, request: EnrolRequest, join_token: str | None = None) -> EnrolReply:
    """Makes the node, or gives a node of that name its new identity. The name of a retired node
    is free again: the retired one keeps its history under another name.

    Raises Unauthenticated for a token that is unknown, used or expired, Conflict when the
    token is bound to another name, and while an agent of that name may still run something.
    The token stays usable then. Invalid for a launcher that is not here: nobody would say that what
    is placed there has ended.
    """
    launcher = request.launcher or AGENT
    if launcher != AGENT and launcher not in deps.launchers:
        raise Invalid("unknown_launcher", launcher=launcher)
    now = deps.clock.now()
    credential = new_secret("psn")
    secret = join_token or request.join_token or ""

    def work(tx: Transaction) -> NodeId:
        token = tx.join_tokens.use(hash_secret(secret), now)
        if token is None:
            raise Unauthenticated("bad_join_token")
        if token.node_name is not None and token.node_name != request.name:
            raise Conflict("join_token_of_another", node=token.node_name)
        node = _node(tx, deps, request, credential, now)
        _hand_over(tx, node, launcher)
        record_inventory(tx, node, request.inventory, now)
        return node.id

    node_id = deps.run(work)
    return EnrolReply(
        node_id=node_id, credential=credential, heartbeat_interval_s=deps.rules.heartbeat_s
    )


def authenticate_node(
    deps: Deps, secret: str, check: Callable[[Node], None] = lambda _: None
) -> NodeId:
    """The id of the node whose credential this is; raises Unauthenticated or what `check` does."""
    presented = hash_secret(secret)
    with deps.store.read() as tx:
        node = tx.nodes.by_credential(presented)
        if node is None or node.intent == NodeIntent.RETIRED:
            raise Unauthenticated("bad_credential")
        check(node)
        if hmac.compare_digest(node.credential_hash, presented):
            return node.id
        node_id = node.id
    _adopt_new_credential(deps, node_id, presented)
    return node_id


def rotate_credential(deps: Deps, node_id: NodeId) -> CredentialReply:
    """A new credential; the present one holds until the new one is first used."""
    credential = new_secret("psn")

    def work(tx: Transaction) -> None:
        node = tx.nodes.get(node_id)
        if node is not None:
            node.next_credential_hash = hash_secret(credential)

    deps.run(work)
    return CredentialReply(credential=credential)


def _adopt_new_credential(deps: Deps, node_id: NodeId, presented: str) -> None:
    now = deps.clock.now()

    def work(tx: Transaction) -> None:
        node = tx.nodes.get(node_id)
        if node is not None and node.next_credential_hash == presented:
            node.credential_hash, node.next_credential_hash = presented, None
            node.credential_at = now
            tx.hints.add(CREDENTIALS)

    deps.run(work)


def _node(
    tx: Transaction, deps: Deps, request: EnrolRequest, credential: str, now: datetime
) -> Node:
    node = tx.nodes.named(request.name)
    if node is not None and node.intent == NodeIntent.RETIRED:
        _free_name(tx, node)
        node = None
    if node is None:
        node = _new_node(request.name, credential, now, tx.lease_time)
        tx.nodes.add(node)
        joined = say("node_joined", node=node.name)
        tx.events.append("node", node.id, None, "node.joined", joined, now)
        return node
    check_takeover(tx, deps, node)
    node.incarnation = node.refused_incarnation = None
    node.credential_hash, node.next_credential_hash = hash_secret(credential), None
    node.credential_at = now
    tx.hints.add(CREDENTIALS)
    rejoined = say("node_rejoined", node=node.name)
    tx.events.append("node", node.id, None, "node.rejoined", rejoined, now)
    return node


def _hand_over(tx: Transaction, node: Node, launcher: str) -> None:
    """Raises Conflict while something is held there that only the launcher of before can end."""
    if node.launcher != launcher and tx.leases.held_on(node.id):
        raise Conflict("launcher_holds", node=node.name, launcher=node.launcher)
    node.launcher = launcher


def _free_name(tx: Transaction, node: Node) -> None:
    """Takes its name from a retired node."""
    suffix = f"-retired-{node.id[-8:]}"
    tx.nodes.rename(node, node.name[: MOST_NAME - len(suffix)] + suffix)


def _new_node(name: str, credential: str, now: datetime, heard_at: datetime) -> Node:
    return Node(
        id=new_id(NodeId),
        name=name,
        **new_node(say("enrolled"), now),
        labels={},
        cores_milli=0,
        memory_bytes=0,
        info={},
        instance="",
        generation=1,
        converged_generation=0,
        credential_hash=hash_secret(credential),
        next_credential_hash=None,
        credential_at=now,
        last_heartbeat_at=None,
        heard_at=heard_at,
        incarnation=None,
        refused_incarnation=None,
        created_at=now,
        version=1,
    )
