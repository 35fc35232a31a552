"""Routes of the agents' protocol. A node speaks for itself alone: its credential says which."""

from __future__ import annotations

import asyncio
from math import inf
from typing import Annotated, Final

from fastapi import APIRouter, Query
from starlette.responses import Response

from control_plane.api.deps import (
    AgentNode,
    DepsParam,
    HeartbeatsParam,
    IdleNodesParam,
    Incarnation,
    JoinToken,
    StreamsParam,
)
from control_plane.api.idle_nodes import IdleNodes
from control_plane.api.replies import plain_reply, secret_reply
from control_plane.api.route import Route
from control_plane.api.streams import CLOSING, Streams, wait_for
from control_plane.hints.topics import node_topic
from control_plane.server.lanes import in_lane
from control_plane.services.agents.assignments import assignment_list, node_generation
from control_plane.services.agents.heartbeat import Beat
from control_plane.services.agents.reports import record_reports
from control_plane.services.checkpoints.commit import commit_checkpoint
from control_plane.services.deps import Deps
from control_plane.services.logs.record import record_logs
from control_plane.services.nodes.enrol import enrol_node, rotate_credential
from control_plane.services.nodes.incarnations import begin_incarnation
from penstock.api.assignments import (
    AssignmentList,
    BeginReply,
    BeginRequest,
    CheckpointCommit,
    CheckpointReply,
    CredentialReply,
    EnrolReply,
    EnrolRequest,
    HeartbeatReply,
    HeartbeatRequest,
    LogReply,
    LogRequest,
    ReportReply,
    ReportRequest,
)
from penstock.api.ids import NodeId

router = APIRouter(prefix="/api/v1/agent", route_class=Route, tags=["agents"])

MAX_WAIT_S: Final = 20.0
POLL_S: Final = 2.0


@router.post(
    "/enrol",
    operation_id="enrol_node",
    response_model=EnrolReply,
    responses={401: {"description": "the join token is unknown, used or expired"}},
)
def enrol(body: EnrolRequest, join_token: JoinToken, deps: DepsParam) -> Response:
    """A node joins with a single-use token and gets its own credential, shown this once. The token
    is the request's bearer token; without one the body may have it and be 64 KiB long.
    """
    return secret_reply(enrol_node(deps, body, join_token), 200)


@router.post(
    "/incarnations",
    operation_id="begin_incarnation",
    response_model=BeginReply,
    responses={409: {"description": "the one before may still run something there"}},
)
def begin(body: BeginRequest, node_id: AgentNode, deps: DepsParam) -> Response:
    """A start of the agent speaks for its node from now on; others are refused."""
    return plain_reply(begin_incarnation(deps, node_id, body))


@router.get("/assignments", operation_id="get_assignments", response_model=AssignmentList)
async def assignments(
    node_id: AgentNode,
    deps: DepsParam,
    streams: StreamsParam,
    idle: IdleNodesParam,
    incarnation: Incarnation,
    generation: Annotated[int, Query(ge=0, lt=2**63, description="the one converged to")] = 0,
    wait_s: Annotated[float, Query(ge=0, le=MAX_WAIT_S)] = 5.0,
) -> Response:
    """The node's desired state: at once if it is newer than `generation`, else when it changes
    or after `wait_s`.
    """
    if generation > 0:
        await _newer(deps, streams, idle, node_id, generation, wait_s)
    found = idle.get(node_id)
    if found is None:
        as_of = idle.num_changes
        found = await in_lane(assignment_list, deps, node_id, incarnation)
        idle.put(node_id, found, as_of, _hints_last_s(deps))
    return plain_reply(found)


@router.post("/heartbeat", operation_id="heartbeat", response_model=HeartbeatReply)
async def heartbeat(
    body: HeartbeatRequest,
    node_id: AgentNode,
    incarnation: Incarnation,
    heartbeats: HeartbeatsParam,
) -> Response:
    """Alive: renews the leases of the replicas named, and names those to stop."""
    return plain_reply(await heartbeats.record(Beat(node_id, body, incarnation)))


@router.post("/reports", operation_id="report_replicas", response_model=ReportReply)
def reports(body: ReportRequest, node_id: AgentNode, deps: DepsParam) -> Response:
    """What the agent saw of its replicas."""
    return plain_reply(record_reports(deps, node_id, body))


@router.post("/logs", operation_id="ship_logs", response_model=LogReply)
def logs(body: LogRequest, node_id: AgentNode, deps: DepsParam) -> Response:
    """Log bytes by offset; the answer says how far each log stands."""
    return plain_reply(record_logs(deps, node_id, body))


@router.post("/checkpoints", operation_id="commit_checkpoint", response_model=CheckpointReply)
def checkpoints(body: CheckpointCommit, node_id: AgentNode, deps: DepsParam) -> Response:
    """Makes a written checkpoint real, under the current epoch only."""
    return plain_reply(commit_checkpoint(deps, node_id, body))


@router.post("/credential", operation_id="rotate_credential", response_model=CredentialReply)
def credential(node_id: AgentNode, deps: DepsParam) -> Response:
    """A new credential; the present one holds until the new one is first used."""
    return secret_reply(rotate_credential(deps, node_id), 200)


async def _newer(
    deps: Deps, streams: Streams, idle: IdleNodes, node_id: NodeId, generation: int, wait_s: float
) -> None:
    """Waits, without a thread or a session, until the node's generation is another one.

    Another, not only a greater one: after a restored backup the agent's may lie ahead of ours.
    """
    clock = asyncio.get_running_loop().time
    deadline = clock() + wait_s
    with streams.hub.listen_async(node_topic(node_id), CLOSING) as woken:
        while not streams.closing:
            woken.clear()
            known = idle.get(node_id)
            current = known.generation if known else await in_lane(node_generation, deps, node_id)
            left_s = deadline - clock()
            if current != generation or left_s <= 0:
                return
            await wait_for(woken, min(left_s, _hints_last_s(deps)))


def _hints_last_s(deps: Deps) -> float:
    """How long to trust that nothing changed where no hint came: those of other processes may be
    lost, and with SQLite there is none.
    """
    return inf if deps.store.database.is_sqlite else POLL_S
