"""Makes this process a node: the credential it has, or a new one for a join token."""

from __future__ import annotations

import asyncio
import socket
import uuid
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Final
from urllib.parse import urlsplit

import structlog

from agents.client import ControlPlane, Denied, Refused, Unreachable
from agents.node import identity, incarnation
from agents.node.identity import Identity
from agents.runtimes.process.folders import ReplicaFolders
from penstock.addresses import is_loopback
from penstock.api.assignments import BeginRequest, EnrolReply, EnrolRequest, Inventory
from penstock.backoff import Backoff

log = structlog.get_logger()

MOST_WAIT_S: Final = 2.0
ASKED_FOR_S: Final = 2.0
"""What runs here is not left unwatched for longer, because a server takes its time to answer."""
HOW_TO_JOIN: Final = "get a token with `penstock node join` and start the agent with it"


class CannotJoin(Exception):
    """The node cannot become one; the text says what to do."""


@dataclass(frozen=True, slots=True)
class Joining:
    """What a node needs to know to join. `token` may be None where it has joined before."""

    state_dir: Path
    server: str
    name: str
    token: str | None


async def join(
    joining: Joining, control_plane: ControlPlane, inventory: Inventory, random: Random
) -> Identity:
    """The node's identity. Waits for a server that is away; raises CannotJoin."""
    kept = identity.load(joining.state_dir)
    if kept is not None:
        control_plane.credential = kept.credential
        if joining.token is None or await _is_accepted(control_plane):
            return kept
        log.warning("credential_no_longer_accepted", node_id=kept.node_id)
    if joining.token is None:
        raise CannotJoin(f"this node has not joined a control plane: {HOW_TO_JOIN}")
    control_plane.credential = joining.token
    request = EnrolRequest(name=joining.name, inventory=inventory)
    return await _enrol(joining, control_plane, request, Backoff(random, most_s=MOST_WAIT_S))


async def begin(
    state_dir: Path, folders: ReplicaFolders, control_plane: ControlPlane, random: Random
) -> str:
    """From now on this start of the agent speaks for its node. Until it may, nothing in the state
    folder is touched: it may be a copy of one that is in use. Goes on asking whatever the answer
    is: replicas that run have their leases. Returns whom to note as accepted.
    """
    own = uuid.uuid4().hex
    before = incarnation.previous(state_dir)
    try:
        incarnation.note(state_dir, (*before, own))
    except OSError as error:  # the price is a wait, should this start end before it can be noted
        log.warning("start_not_noted", error=str(error))
    backoff, logged = Backoff(random, most_s=MOST_WAIT_S), ""
    while True:
        held = incarnation.held_runs(folders)
        try:
            await control_plane.begin(BeginRequest(incarnation=own, previous=before, held=held))
        except Unreachable as error:
            logged = _log_once("waits_to_begin", error, logged)
            await asyncio.sleep(backoff.next_s())
        except (Denied, Refused) as error:
            if str(error) != logged:
                log.error("credential_refused", error=str(error), hint=HOW_TO_JOIN)
            logged = str(error)
            await asyncio.sleep(backoff.next_s())
        else:
            control_plane.incarnation = own
            return own


def check_transport(server: str, insecure: bool) -> None:
    """Refuses to show a secret to the network. Raises CannotJoin."""
    url = urlsplit(server)
    if url.scheme not in ("http", "https") or not url.hostname:
        raise CannotJoin(f"{server!r} is not the address of a control plane: use https://HOST:PORT")
    if url.scheme == "http" and not is_loopback(url.hostname) and not insecure:
        raise CannotJoin(
            f"the node's credential would cross the network to {url.hostname} unencrypted: use "
            f"https, with --ca-file for a CA of your own, or say --insecure if this network is safe"
        )


def own_address(server: str) -> str:
    """The address of this machine that faces the server; in brackets where it is IPv6."""
    url = urlsplit(server)
    host = url.hostname or "127.0.0.1"
    if is_loopback(host):
        return "127.0.0.1"
    family, kind, _, _, target = socket.getaddrinfo(host, url.port or 443, type=socket.SOCK_DGRAM)[
        0
    ]
    with socket.socket(family, kind) as probe:
        probe.connect(target)  # sends nothing: it only asks the kernel for its route
        found = str(probe.getsockname()[0])
    return f"[{found}]" if ":" in found else found


async def _is_accepted(control_plane: ControlPlane) -> bool:
    """False only when the control plane says no; a silent one may still know us."""
    try:
        async with asyncio.timeout(ASKED_FOR_S):
            await control_plane.assignments(0, 0.0)
    except Denied:
        return False
    except (Unreachable, Refused, TimeoutError):
        return True
    return True


async def _enrol(
    joining: Joining, control_plane: ControlPlane, request: EnrolRequest, backoff: Backoff
) -> Identity:
    logged = ""
    while True:
        try:
            reply = await control_plane.enrol(request)
        except Unreachable as error:
            logged = _log_once("waits_to_enrol", error, logged)
            await asyncio.sleep(backoff.next_s())
        except (Denied, Refused) as error:
            raise CannotJoin(f"the join token was not accepted: {error}; {HOW_TO_JOIN}") from error
        else:
            return _enrolled(joining, control_plane, reply)


def _log_once(event: str, error: Unreachable, logged: str) -> str:
    """Says once what is waited for, whatever the seconds left; returns what it logged."""
    reason = "".join(it for it in str(error) if not it.isdigit())
    if reason != logged:
        log.warning(event, error=str(error))
    return reason


def _enrolled(joining: Joining, control_plane: ControlPlane, reply: EnrolReply) -> Identity:
    found = Identity(reply.node_id, reply.credential, reply.heartbeat_interval_s, joining.server)
    identity.save(joining.state_dir, found)
    control_plane.credential = found.credential
    log.info("node_enrolled", node_id=found.node_id, name=joining.name)
    return found
