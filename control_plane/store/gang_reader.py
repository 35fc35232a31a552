"""A job's gang as the planner sees it: how many members, and what each asks for."""

from __future__ import annotations

from collections.abc import Mapping

from control_plane.store import models
from penstock.api.specs import JobSpec
from penstock.api.states import JobType
from scheduler import model as plan


def gang_of(gang: models.Gang, job: models.Job, siblings: Mapping[str, int]) -> plan.Gang:
    """The queued gang; `siblings` counts the job's placed replicas per chip type."""
    spec = JobSpec.model_validate(job.spec)
    least, most = members_of(spec)
    return plan.Gang(
        id=plan.GangId(gang.id), job_id=plan.JobId(job.id), job_name=job.name,
        project=job.project, queue=job.queue, priority=job.priority, created_at=job.created_at,
        type=plan.JobType(spec.type), least=least, most=most, request=request_of(spec),
        mix=spec.resources.mix, spread=spec.type is JobType.SERVE and spec.resources.mix,
        sibling_types=dict(siblings), work=plan.Work(work_class=work_class(spec)),
        not_before=gang.not_before, version=gang.version,
    )  # fmt: skip


def members_of(spec: JobSpec) -> tuple[int, int]:
    """(least, most) members of one gang: a training job has one per chip."""
    if spec.type is JobType.TRAIN:
        count = spec.resources.chips
        return max(1, count.least), max(1, count.most)
    replicas = spec.task.replicas if spec.task is not None else 1
    return replicas, replicas


def request_of(spec: JobSpec) -> plan.MemberRequest:
    """What one member asks for."""
    resources = spec.resources
    share = plan.WHOLE if resources.share is None else max(1, round(resources.share * plan.WHOLE))
    cores = None if resources.cores is None else round(resources.cores * 1000)
    return plan.MemberRequest(
        chips=1 if spec.type is JobType.TRAIN else _chips_per_replica(spec),
        milli=share, wish=resources.chip, memory_bytes=resources.memory, dtype=resources.dtype,
        cores_milli=cores, host_memory_bytes=resources.host_memory,
    )  # fmt: skip


def work_class(spec: JobSpec) -> str:
    """Jobs of one class run at one speed on one chip type; empty where that is not known."""
    if spec.train is None:
        return ""
    shape = spec.train.model
    return f"train/llama-{shape.num_layers}x{shape.hidden_size}"


def _chips_per_replica(spec: JobSpec) -> int:
    needs_one = spec.type is JobType.SERVE or spec.resources.share is not None
    return max(spec.resources.chips.most, 1 if needs_one else 0)
