"""Jobs, replicas, their events and progress as the API shows them."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from pydantic import Field

from penstock.api.base import CodedMessage, Stateful, Strict, View
from penstock.api.ids import CheckpointId, ChipId, JobId, ReplicaId
from penstock.api.specs import JobSpec
from penstock.api.states import ExitReason, JobState, JobType, Outcome, ReplicaState


class Progress(Strict):
    """What a running workload says of itself. Fields it does not know are null."""

    step: int | None = Field(default=None, ge=0)
    total_steps: int | None = Field(default=None, ge=0)
    loss: float | None = None
    tokens: int | None = Field(default=None, ge=0, description="tokens worked through in all")
    tokens_per_s: float | None = Field(default=None, ge=0, description="of the whole job")
    step_time_s: float | None = Field(default=None, ge=0)
    message: str | None = Field(default=None, max_length=1024)


class HeldChip(View):
    """A chip that a replica holds, in thousandths."""

    chip_id: ChipId
    node: str
    type: str
    index: int
    milli: int
    emulated: bool


class Job(Stateful):
    """A job: what was asked, where it stands, what it holds."""

    state: JobState
    id: JobId
    name: str
    project: str
    queue: str
    type: JobType
    priority: int
    attempt: int
    outcome: Outcome | None = None
    exit_code: int | None = None
    exit_reason: ExitReason | None = None
    created_at: datetime
    started_at: datetime | None = None
    ended_at: datetime | None = None
    waited_s: float
    ran_s: float | None = None
    asked: dict[str, float] = Field(
        default_factory=dict, description="chip wish to chips of the whole job; 0.5: half of one"
    )
    chips: list[HeldChip] = Field(default_factory=list)
    progress: Progress | None = None
    result: dict[str, Any] = Field(default_factory=dict, description="what the job itself reported")
    retry_of: str | None = None
    labels: dict[str, str] = Field(default_factory=dict)
    spec: JobSpec
    etag: str


class Replica(Stateful):
    """One process of one attempt of a job."""

    state: ReplicaState
    id: ReplicaId
    job: str
    job_id: JobId
    node: str
    gang: int
    rank: int
    world_size: int
    attempt: int
    chips: list[HeldChip] = Field(default_factory=list)
    cores_milli: int
    memory_bytes: int
    address: str | None = None
    ready: bool = False
    exit_code: int | None = None
    exit_reason: ExitReason | None = None
    usage: dict[str, float] = Field(default_factory=dict)
    progress: Progress | None = None
    started_at: datetime | None = None
    ended_at: datetime | None = None


class Event(CodedMessage):
    """One thing that happened. `seq` counts per object from 1 without a gap; `id` over all."""

    id: int
    seq: int
    object_type: str
    object_id: str
    project: str | None = None
    type: str
    data: dict[str, Any] = Field(default_factory=dict)
    at: datetime


class LogLine(View):
    """One line of a replica's output without its line end, as the log stream carries it.

    A line longer than 64 KiB comes in pieces, as does what the output ends with.
    """

    replica: str
    rank: int = Field(description="of a serving job: which of its replicas")
    text: str
    partial: bool = Field(
        default=False,
        description="no line end follows: the replica's next event goes on with this line",
    )
    raw: str | None = Field(
        default=None,
        description="the exact bytes in base64, where they are no UTF-8 and `text` is not exact",
    )
    stream: str = "output"
    gang: int = Field(default=0, description="which replica of a serving job; 0 otherwise")
    attempt: int = 0


class JobEnd(CodedMessage):
    """How a job ended: the last event of its log and event streams."""

    job: str
    name: str
    state: JobState
    reason: str
    exit_code: int | None = None
    exit_reason: ExitReason | None = None


class Checkpoint(View):
    """A committed checkpoint; files without such a record are garbage."""

    id: CheckpointId
    job: str
    epoch: int
    step: int
    uri: str
    manifest_sha256: str
    committed_at: datetime
    damaged: str | None = Field(default=None, description="why it could not be resumed")
