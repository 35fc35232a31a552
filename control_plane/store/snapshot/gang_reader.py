"""A job's gang as the planner sees it: how many members, and what each asks for.

Reads the stored spec as the document it is: it was validated when it was submitted, and a cycle
over a deep queue has no time to do that again.
"""

from __future__ import annotations

from dataclasses import replace

from control_plane.store.repositories.gangs import QueuedGang
from penstock.api.states import JobType
from penstock.api.work import (
    TRAIN_DTYPE,
    ModelSize,
    Phase,
    WorkClass,
    folder_name,
    serve_class,
    train_class,
)
from penstock.json_types import Json
from scheduler import model as plan


def gang_of(gang: QueuedGang) -> plan.Gang:
    """The queued gang, but for its back-off and for its siblings."""
    resources: Json = gang.spec["resources"]
    least, most = _members(gang.spec)
    mix = bool(resources["mix"])
    return plan.Gang(
        id=plan.GangId(gang.id),
        job_id=plan.JobId(gang.job_id),
        job_name=gang.job_name,
        project=gang.project,
        queue=gang.queue,
        priority=gang.priority,
        created_at=gang.created_at,
        type=plan.JobType(gang.type),
        least=least,
        most=most,
        request=_request(gang.spec, gang.resolved),
        mix=mix,
        spread=gang.type == JobType.SERVE and mix,
        work=work_of(gang.spec, gang.resolved),
        version=gang.version,
    )


def work_of(spec: Json, resolved: Json) -> plan.Work:
    """The classes of work of a job, and what a token costs; empty where that is not known."""
    if train := spec.get("train"):
        size = ModelSize.of(train["model"])
        ranks = max(1, spec["resources"]["chips"]["most"])
        return _work(train_class(size, train["batch_size"], train["micro_batch"], ranks), size)
    if (serve := spec.get("serve")) and serve.get("command") is None:
        return _serving(serve["model"], resolved.get("shape"), _chips_per_replica(spec, resolved))
    return plan.Work()


def _serving(model: str, shape: Json | None, chips: int) -> plan.Work:
    size = None if shape is None else ModelSize.of(shape)
    name, dtype = (folder_name(model), "") if size is None else (size.name, TRAIN_DTYPE)
    prefill, decode = (
        _work(serve_class(phase, name, chips, dtype, size), size)
        for phase in (Phase.PREFILL, Phase.DECODE)
    )
    return replace(decode, prefill=prefill)


def _work(work: WorkClass, size: ModelSize | None) -> plan.Work:
    if size is None:
        return plan.Work(str(work), dtype=work.dtype)
    cost = size.cost(work)
    return plan.Work(str(work), cost.flops, cost.bytes, work.dtype)


def _members(spec: Json) -> tuple[int, int]:
    """(least, most) members of one gang: a training job has one per chip."""
    if spec["type"] == JobType.TRAIN:
        count = spec["resources"]["chips"]
        return max(1, count["least"]), max(1, count["most"])
    replicas = spec["task"]["replicas"] if spec["type"] == JobType.TASK else 1
    return replicas, replicas


def _request(spec: Json, resolved: Json) -> plan.MemberRequest:
    """What one member asks for."""
    resources: Json = spec["resources"]
    share, cores = resources.get("share"), resources.get("cores")
    return plan.MemberRequest(
        chips=1 if spec["type"] == JobType.TRAIN else _chips_per_replica(spec, resolved),
        milli=plan.WHOLE if share is None else max(1, round(share * plan.WHOLE)),
        wish=tuple(resources["chip"]),
        memory_bytes=resources.get("memory"),
        dtype=resources.get("dtype"),
        cores_milli=None if cores is None else round(cores * 1000),
        host_memory_bytes=resources.get("host_memory"),
    )


def _chips_per_replica(spec: Json, resolved: Json) -> int:
    """What one replica of a serving or task job holds. Serving jobs of before did not note it, nor
    whether somebody had said 0: they hold one.
    """
    noted: int | None = resolved.get("chips")
    if noted is not None:
        return noted
    resources: Json = spec["resources"]
    needs_one = spec["type"] == JobType.SERVE or resources.get("share") is not None
    return max(int(resources["chips"]["most"]), 1 if needs_one else 0)
