"""What a node should run now: its live replicas as assignments, under its generation."""

from __future__ import annotations

from typing import Literal

from control_plane.domain.lease import AGENT
from control_plane.domain.places import job_folder
from control_plane.services.agents.heartbeat import grant_of
from control_plane.services.deps import Deps
from control_plane.services.nodes.incarnations import check_incarnation
from control_plane.store.models import Chip, Gang, Job, Lease, Replica
from control_plane.store.unit_of_work import Transaction
from penstock.api.assignments import AssignedChip, Assignment, AssignmentList
from penstock.api.ids import ChipId, NodeId
from penstock.api.specs import JobSpec
from penstock.api.states import ExitReason, JobType
from penstock.json_types import Json

STOP_GRACE_S = 10.0


def node_generation(deps: Deps, node_id: NodeId) -> int:
    """The current generation of the node's list; 0 for a node that is gone."""
    with deps.store.read() as tx:
        return tx.nodes.generation(node_id)


def assignment_list(deps: Deps, node_id: NodeId, incarnation: str | None = None) -> AssignmentList:
    """What the node's agent should run, for the incarnation that speaks for it: nothing where
    another launcher owns the node's processes. Raises Conflict.
    """
    with deps.store.read() as tx:
        node = tx.nodes.beating([node_id]).get(node_id)
        if node is not None:
            check_incarnation(node, incarnation)
            if node.launcher != AGENT:
                return AssignmentList(generation=node.generation, assignments=())
        return _owned(tx, deps, node_id)


def owned_list(deps: Deps, node_id: NodeId) -> AssignmentList:
    """The whole desired state of the node, for whoever owns its processes. The generation is read
    first: newer content under an older number is harmless, the other way round would be lost.
    """
    with deps.store.read() as tx:
        return _owned(tx, deps, node_id)


def _owned(tx: Transaction, deps: Deps, node_id: NodeId) -> AssignmentList:
    generation = tx.nodes.generation(node_id)
    replicas = tx.replicas.live_on(node_id)
    if not replicas:
        return AssignmentList(generation=generation, assignments=())
    leases = {lease.replica_id: lease for lease in tx.leases.held_on(node_id)}
    chips = {chip.id: chip for chip in tx.chips.present([node_id])}
    assignments = tuple(
        _assignment(tx, replica, leases.get(replica.id), chips, deps.storage)
        for replica in replicas
    )
    return AssignmentList(generation=generation, assignments=assignments)


def _assignment(
    tx: Transaction, replica: Replica, lease: Lease | None, chips: dict[ChipId, Chip], storage: str
) -> Assignment:
    job = tx.jobs.get(replica.job_id)
    gang = tx.gangs.get(replica.gang_id)
    assert job is not None, "replicas are never deleted before their job"
    assert gang is not None, "nor before their gang"
    spec = JobSpec.model_validate(job.spec)
    return Assignment(
        replica_id=replica.id,
        job_id=job.id,
        job_name=job.name,
        project=job.project,
        project_number=tx.projects.number(job.project_id),
        queue=job.queue,
        epoch=replica.attempt,
        gang=replica.gang_index,
        rank=replica.rank,
        world_size=replica.world_size,
        desired="run" if replica.desired == "run" and lease is not None else "stop",
        max_duration_s=spec.max_duration,
        stop_grace_s=STOP_GRACE_S,
        stop_reason=ExitReason(replica.stop_reason) if replica.stop_reason else None,
        chips=tuple(_chip(held, chips) for held in replica.chips),
        cores_milli=replica.cores_milli,
        memory_bytes=replica.memory_bytes,
        command=_command(spec),
        workdir=spec.task.workdir if spec.task else None,
        engine=_engine(spec),
        work=_work(tx, job, replica, spec),
        env=dict(spec.env),
        master=_master(gang, replica),
        serves=spec.type is JobType.SERVE,
        storage=job_folder(storage, job.id),
        lease=None if lease is None else grant_of(lease, tx.lease_time),
    )


def _chip(held: Json, chips: dict[ChipId, Chip]) -> AssignedChip:
    row = chips.get(held["chip_id"])
    report = row.report if row is not None else {}
    memory, milli = report.get("memory_bytes"), held["milli"]
    return AssignedChip(
        chip_id=held["chip_id"],
        key=held["key"],
        vendor=held["vendor"],
        type=held["type"],
        index=held["index"],
        milli=milli,
        emulated=held["emulated"],
        stands_for=report.get("stands_for"),
        memory_bytes=None if memory is None else memory * milli // 1000,
        cores_milli=report.get("cores_milli", 0) * milli // 1000,
        link_bytes_per_s=report.get("link_bytes_per_s"),
    )


def _command(spec: JobSpec) -> tuple[str, ...] | None:
    if spec.task is not None:
        return spec.task.command
    return spec.serve.command if spec.serve is not None else None


def _engine(spec: JobSpec) -> Literal["train", "serve"] | None:
    if _command(spec) is not None:
        return None
    return "train" if spec.train is not None else "serve"


def _master(gang: Gang, replica: Replica) -> str | None:
    return gang.master if gang.attempt == replica.attempt else None


def _work(tx: Transaction, job: Job, replica: Replica, spec: JobSpec) -> Json:
    if spec.train is not None:
        resume = _resume(tx, job, replica)
        return {**spec.train.model_dump(mode="json"), "job_id": job.id, "resume": resume}
    if spec.serve is not None and spec.serve.command is None:
        return dict(job.resolved)
    return {}


def _resume(tx: Transaction, job: Job, replica: Replica) -> Json | None:
    """An earlier attempt's newest intact checkpoint, else what the job was told to start from."""
    for checkpoint in tx.checkpoints.intact(job.id):
        if checkpoint.epoch < replica.attempt:
            return {
                "uri": checkpoint.uri, "step": checkpoint.step,
                "manifest_sha256": checkpoint.manifest_sha256, "checkpoint_id": checkpoint.id,
            }  # fmt: skip
    start: Json | None = job.resolved.get("resume")
    return start
