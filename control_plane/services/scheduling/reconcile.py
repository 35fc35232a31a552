"""Sweeps over everything unfinished and settles it: what a crash between two steps left."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial

from control_plane.domain.job import PLACED
from control_plane.services.deps import Deps
from control_plane.services.endpoints.refresh import refresh_endpoints
from control_plane.services.gangs.settle import is_settled, settle
from control_plane.services.nodes.intent import drain
from control_plane.store.models import Gang, Job, Replica
from control_plane.store.repositories.batches import in_batches
from control_plane.store.unit_of_work import Transaction
from penstock.api.ids import GangId, JobId, NodeId
from penstock.api.states import NodeIntent


def reconcile(deps: Deps) -> None:
    """Settles gangs, goes on with drains, refreshes endpoints. Reads first, so that a quiet cloud
    is never locked for writing.
    """
    with deps.store.read() as tx:
        gang_ids = _unsettled(tx)
        draining = tx.nodes.of_intent(NodeIntent.DRAINING)
    for gang_id in gang_ids:
        deps.run(partial(_settle, deps=deps, gang_id=gang_id))
    for node_id in draining:
        deps.run(partial(_drain, deps=deps, node_id=node_id))
    refresh_endpoints(deps)


def _unsettled(tx: Transaction) -> list[GangId]:
    """Gangs of jobs that hold something, where settling would change something."""
    found: list[GangId] = []
    for some in in_batches(tx.jobs.in_state(PLACED)):
        found += _unsettled_of(tx, {job.id: job for job in some})
    return found


def _unsettled_of(tx: Transaction, jobs: Mapping[JobId, Job]) -> Iterator[GangId]:
    gangs: dict[JobId, list[Gang]] = {job_id: [] for job_id in jobs}
    for gang in tx.gangs.of_jobs(jobs):
        gangs[gang.job_id].append(gang)
    replicas: dict[tuple[GangId, int], list[Replica]] = {}
    for replica in tx.replicas.of_attempts(jobs):
        replicas.setdefault((replica.gang_id, replica.attempt), []).append(replica)
    for job_id, siblings in gangs.items():
        for gang in siblings:
            ranks = replicas.get((gang.id, gang.attempt), [])
            if not is_settled(jobs[job_id], gang, ranks, siblings):
                yield gang.id


def _settle(tx: Transaction, deps: Deps, gang_id: GangId) -> None:
    gang = tx.gangs.get(gang_id)
    job = tx.jobs.get(gang.job_id) if gang is not None else None
    if gang is not None and job is not None:
        settle(tx, job, gang, deps.clock.now())


def _drain(tx: Transaction, deps: Deps, node_id: NodeId) -> None:
    node = tx.nodes.get(node_id)
    if node is not None and node.intent == NodeIntent.DRAINING:
        drain(tx, node, deps.clock.now())
