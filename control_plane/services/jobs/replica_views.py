"""Rows of replicas as the API shows them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from control_plane.services.jobs.views import held_chips
from control_plane.store.models import Replica as ReplicaRow
from control_plane.store.unit_of_work import Transaction
from penstock.api.jobs import Progress, Replica
from penstock.api.states import ExitReason, ReplicaState
from penstock.catalogue import render

_USAGE = ("cpu_s", "max_memory_bytes", "wall_s")


def replica_views(tx: Transaction, rows: Sequence[ReplicaRow]) -> list[Replica]:
    """The replicas with the names of their jobs and nodes: two more queries in all."""
    jobs = tx.jobs.names({row.job_id for row in rows})
    nodes = tx.nodes.names({row.node_id for row in rows})
    return [_view(row, jobs[row.job_id], nodes.get(row.node_id, row.node_id)) for row in rows]


def _view(row: ReplicaRow, job: str, node: str) -> Replica:
    ended: Mapping[str, Any] = row.exit or {}
    reason, message = ended.get("reason"), row.coded_message
    return Replica(
        id=row.id,
        job=job,
        job_id=row.job_id,
        node=node,
        gang=row.gang_index,
        rank=row.rank,
        world_size=row.world_size,
        attempt=row.attempt,
        state=ReplicaState(row.state),
        reason=row.reason,
        message=render(message),
        code=message.code,
        params=message.params,
        since=row.since,
        chips=held_chips(row.chips, node),
        cores_milli=row.cores_milli,
        memory_bytes=row.memory_bytes,
        address=row.address,
        ready=row.ready,
        exit_code=ended.get("code"),
        exit_reason=ExitReason(reason) if reason else None,
        usage={name: ended[name] for name in _USAGE if ended.get(name) is not None},
        progress=Progress.model_validate(row.progress) if row.progress else None,
        started_at=row.started_at,
        ended_at=row.ended_at,
    )
