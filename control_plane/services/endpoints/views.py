"""Rows of endpoints as the API shows them: with their live replicas, speeds and tokens."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Final

from control_plane.store.models import Endpoint as EndpointRow
from control_plane.store.models import Node, Replica
from control_plane.store.unit_of_work import Transaction
from penstock.api.endpoints import Endpoint, EndpointReplica
from penstock.api.ids import JobId, NodeId
from penstock.api.messages import Message, say
from penstock.api.states import EndpointState, NodeHealth, ReplicaState
from penstock.catalogue import render

GATEWAY: Final = "/v1"


def endpoint_views(tx: Transaction, rows: Sequence[EndpointRow]) -> list[Endpoint]:
    """A page of endpoints takes four queries, however long it is."""
    jobs = tx.jobs.names({row.job_id for row in rows})
    replicas = tx.replicas.live_of({row.job_id for row in rows})
    nodes = tx.nodes.many({replica.node_id for replica in replicas})
    tokens = tx.endpoints.tokens({row.id for row in rows})
    by_job: dict[JobId, list[EndpointReplica]] = defaultdict(list)
    for replica in replicas:
        by_job[replica.job_id].append(_replica(replica, nodes))
    return [
        _view(row, jobs[row.job_id], by_job[row.job_id], tokens.get(row.id, (0, 0))) for row in rows
    ]


def _view(
    row: EndpointRow, job: str, replicas: list[EndpointReplica], tokens: tuple[int, int]
) -> Endpoint:
    message = _message(row, replicas)
    return Endpoint(
        id=row.id,
        name=row.name,
        project=row.project,
        job=job,
        model=row.model,
        manifest_sha256=row.manifest_sha256,
        url=GATEWAY,
        state=EndpointState(row.state),
        reason=row.reason,
        message=render(message),
        code=message.code,
        params=message.params,
        since=row.since,
        num_replicas=row.num_replicas,
        replicas=replicas,
        prompt_tokens=tokens[0],
        completion_tokens=tokens[1],
        created_at=row.created_at,
    )


def _message(row: EndpointRow, replicas: list[EndpointReplica]) -> Message:
    """The row's, unless it counts otherwise: it is written at the next sweep."""
    ready, message = sum(it.ready for it in replicas), row.coded_message
    if row.state == EndpointState.CLOSED or message.params.get("ready") == ready:
        return message
    return say("replicas_ready", ready=ready, replicas=row.num_replicas)


def _replica(row: Replica, nodes: Mapping[NodeId, Node]) -> EndpointReplica:
    node = nodes.get(row.node_id)
    heard_of = node is not None and node.health == NodeHealth.READY
    types = sorted({chip["type"] for chip in row.chips})
    return EndpointReplica(
        id=row.id,
        node=node.name if node else row.node_id,
        chip_type=",".join(types),
        state=row.state,
        ready=row.ready and heard_of and row.state == ReplicaState.RUNNING and row.desired == "run",
        address=row.address,
        weight=row.speed["value"] if row.speed else None,
    )
