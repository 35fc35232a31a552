"""Derives the state of each open endpoint from its ready replicas."""

from __future__ import annotations

from functools import partial

from control_plane.domain import endpoint as domain
from control_plane.domain.job import TERMINAL
from control_plane.services.deps import Deps
from control_plane.services.gangs.last_attempt import troubles
from control_plane.services.gangs.moves import change_message, move_endpoint
from control_plane.store.models import Endpoint
from control_plane.store.unit_of_work import Transaction
from penstock.api.ids import EndpointId, JobId
from penstock.api.messages import Message, say
from penstock.api.states import EndpointState, NodeHealth, ReplicaState


def refresh_endpoints(deps: Deps) -> None:
    """Writes only where something changed."""
    with deps.store.read() as tx:
        rows = tx.endpoints.open()
        due = [it.id for it in rows if _derived(tx, it) != (it.state, it.coded_message)]
    for endpoint_id in due:
        deps.run(partial(_refresh, deps=deps, endpoint_id=endpoint_id))


def ready_replicas(tx: Transaction, job_id: JobId) -> list[str]:
    """Replicas of the job that answer and whose node is heard of."""
    replicas = [
        replica
        for replica in tx.replicas.live_of([job_id])
        if replica.ready and replica.state == ReplicaState.RUNNING and replica.desired == "run"
    ]
    nodes = tx.nodes.many({replica.node_id for replica in replicas})
    return [replica.id for replica in replicas if nodes[replica.node_id].health == NodeHealth.READY]


def _refresh(tx: Transaction, deps: Deps, endpoint_id: EndpointId) -> None:
    row = tx.endpoints.get(endpoint_id)
    if row is None:
        return
    state, message = _derived(tx, row)
    if state != row.state:
        move_endpoint(tx, row, state, message, deps.clock.now(), state)
    else:
        change_message(row, message)


def _derived(tx: Transaction, row: Endpoint) -> tuple[EndpointState, Message]:
    num_ready = len(ready_replicas(tx, row.job_id))
    job = tx.jobs.get(row.job_id)
    ended = job is None or job.state in TERMINAL
    state = domain.derive(EndpointState(row.state), num_ready, row.num_replicas, ended)
    found, more = _troubles(tx, row.job_id) if num_ready < row.num_replicas else ([], None)
    message = say(
        "replicas_ready", ready=num_ready, replicas=row.num_replicas, troubles=found, more=more
    )
    return state, message


def _troubles(tx: Transaction, job_id: JobId) -> tuple[list[Message], int | None]:
    """Why replicas that do not answer do not, as far as an attempt of theirs has ended."""
    answering = {it.gang_id for it in tx.replicas.live_of([job_id]) if it.ready}
    return troubles(it for it in tx.gangs.of_job(job_id) if it.id not in answering)
