"""Takes in log bytes by offset: no gap, no repeat, whatever is sent again or late."""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass
from typing import Final

import structlog

from control_plane.errors import Invalid, Unavailable
from control_plane.hints.topics import log_topic
from control_plane.services.agents.reports import refusal_of
from control_plane.services.deps import Deps
from control_plane.store.models import Replica
from penstock.api.assignments import LogChunk, LogReply, LogRequest, Refusal
from penstock.api.ids import JobId, NodeId, ReplicaId
from penstock.api.states import ReplicaState

log = structlog.get_logger()

RETRY_AFTER_S: Final = 5.0


@dataclass(frozen=True, slots=True)
class _Write:
    replica_id: ReplicaId
    job_id: JobId
    start: int
    data: bytes


def record_logs(deps: Deps, node_id: NodeId, request: LogRequest) -> LogReply:
    """Writes the new part of each chunk, then moves the log's end.

    A crash between the two leaves bytes that the next try writes again, the same. Where the storage
    takes nothing, agents are asked to wait: they keep what they can, and replicas go on.
    """
    with deps.store.read() as tx:
        known = tx.replicas.many({chunk.replica_id for chunk in request.chunks})
    offsets: dict[ReplicaId, int] = {}
    refused: list[Refusal] = []
    retry_after_s: float | None = None
    for chunk in request.chunks:
        replica = known.get(chunk.replica_id)
        refusal = _refusal(replica, node_id, chunk)
        if refusal is not None:
            refused.append(refusal)
            continue
        assert replica is not None
        end = offsets.get(replica.id, replica.log_bytes)
        try:
            offsets[replica.id] = _append(deps, replica, end, chunk)
        except (OSError, Unavailable) as error:
            log.warning("log_not_written", replica_id=replica.id, error=str(error))
            retry_after_s = RETRY_AFTER_S
            break
    for job_id in {known[replica_id].job_id for replica_id in offsets}:
        deps.hints.publish(log_topic(job_id))
    return LogReply(offsets=offsets, refused=tuple(refused), retry_after_s=retry_after_s)


def _refusal(replica: Replica | None, node_id: NodeId, chunk: LogChunk) -> Refusal | None:
    """The last lines of an exited replica may follow its exit; those of a lost one may not."""
    refusal = refusal_of(replica, node_id, chunk.replica_id, chunk.epoch)
    if refusal is None or replica is None:
        return refusal
    if replica.state == ReplicaState.EXITED and replica.attempt == chunk.epoch:
        return None if replica.node_id == node_id else refusal
    return refusal


def _append(deps: Deps, replica: Replica, end: int, chunk: LogChunk) -> int:
    data = _decoded(chunk)
    if chunk.offset > end or chunk.offset + len(data) <= end:
        return end
    fresh = _Write(replica.id, replica.job_id, end, data[end - chunk.offset :])
    deps.logs.write(fresh.replica_id, fresh.start, fresh.data)
    with deps.store.write(serial=False) as tx:
        moved = tx.replicas.advance_log(replica.id, end, end + len(fresh.data))
    return end + len(fresh.data) if moved else end


def _decoded(chunk: LogChunk) -> bytes:
    try:
        return base64.b64decode(chunk.data, validate=True)
    except binascii.Error as error:
        raise Invalid("not_base64", replica=chunk.replica_id, error=str(error)) from error
