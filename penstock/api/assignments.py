"""The protocol between a node's agent and the control plane.

The agent only ever connects outwards. It enrols once, then polls for its assignment list
(desired state, ordered by generation), sends heartbeats (which renew leases), observations,
and log bytes by offset. Every message about a replica carries the epoch of its lease; an
older epoch is refused. All of it may be repeated, late or out of order without harm.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Annotated, Final, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from penstock.api.base import Many, Strict, View
from penstock.api.chips import ChipReport, ChipSample
from penstock.api.ids import CheckpointId, ChipId, JobId, NodeId, ReplicaId
from penstock.api.jobs import Progress
from penstock.api.specs import Label, NewName
from penstock.api.states import ExitReason, ReplicaState
from penstock.json_types import Json
from penstock.safe_text import one_line

MOST_CHIPS: Final = 512
MOST_CORES_MILLI: Final = 16_384_000
MOST_NODE_BYTES: Final = 2**50
"""More than any machine has: what claims more is broken, and would draw all work to itself."""


def _one_line(most: int) -> Callable[[object], object]:
    """What jobs say of themselves is cut and cleaned rather than refused."""
    return lambda value: one_line(value, most) if isinstance(value, str) else value


INCARNATION_HEADER = "Penstock-Incarnation"


class Inventory(Strict):
    """What a node offers."""

    cores_milli: int = Field(ge=0, le=MOST_CORES_MILLI)
    memory_bytes: int = Field(ge=0, le=MOST_NODE_BYTES)
    chips: Many[ChipReport] = Field(default=(), max_length=MOST_CHIPS)
    labels: dict[Label, Label] = Field(default_factory=dict, max_length=64)
    platform: Annotated[str, BeforeValidator(_one_line(256))] = ""
    agent_version: Annotated[str, BeforeValidator(_one_line(128))] = ""
    address: str = Field(
        default="127.0.0.1", max_length=256, description="where other nodes reach its replicas"
    )
    limits: dict[Label, Label] = Field(
        default_factory=dict, max_length=64, description="how limits are enforced"
    )
    dropped: tuple[Annotated[str, BeforeValidator(_one_line(1000))], ...] = Field(
        default=(), max_length=1000, description="devices left out, with reasons"
    )

    @model_validator(mode="after")
    def _each_chip_once(self) -> Self:
        for what, seen in (
            ("key", [chip.key for chip in self.chips]),
            ("type and index", [(chip.vendor, chip.type, chip.index) for chip in self.chips]),
        ):
            if len(set(seen)) < len(seen):
                raise ValueError(f"two chips have the same {what}")
        return self


class EnrolRequest(Strict):
    join_token: str | None = Field(
        default=None,
        max_length=512,
        description="of older agents; newer ones send `Authorization: Bearer JOIN_TOKEN`",
    )
    name: NewName
    inventory: Inventory
    launcher: NewName | None = Field(
        default=None,
        description="who owns the processes on the node; its agent, if nobody is named",
    )


class EnrolReply(View):
    node_id: NodeId
    credential: str = Field(description="the node's own bearer credential, shown this once")
    heartbeat_interval_s: float


class HeldRun(Strict):
    """A replica in an agent's state folder. `proven`: its supervisor lives, or its end is known."""

    replica_id: ReplicaId
    epoch: int
    proven: bool


class BeginRequest(Strict):
    """A start of an agent asks to speak for its node from now on."""

    incarnation: str = Field(min_length=16, max_length=48, description="new with every start")
    previous: tuple[Annotated[str, Field(max_length=64)], ...] = Field(
        default=(),
        max_length=64,
        description="those that began on this very state folder, in this boot of the machine",
    )
    held: tuple[HeldRun, ...] = Field(default=(), max_length=5000)


class BeginReply(View):
    """Accepted. Every later request carries it in the header `Penstock-Incarnation`."""

    incarnation: str


class CredentialReply(View):
    """A rotated credential; the one before stays valid until the new one is first used."""

    credential: str


class AssignedChip(View):
    """A chip, or a part of it, that the replica holds."""

    chip_id: ChipId
    key: str
    vendor: str
    type: str
    index: int
    milli: int = Field(description="thousandths of the chip")
    emulated: bool = False
    stands_for: str | None = None
    memory_bytes: int | None = Field(default=None, description="of the held part")
    cores_milli: int = Field(default=0, description="host core thousandths of the held part")
    link_bytes_per_s: float | None = None


class LeaseGrant(View):
    """A lease as of the moment the server answered.

    The node's deadline is *send time of the request that brought it* + remaining_s − margin_s,
    on the node's own monotonic clock.
    """

    replica_id: ReplicaId
    epoch: int
    remaining_s: float
    margin_s: float
    ttl_s: float | None = Field(
        default=None, description="the most that `remaining_s` may be; null from older servers"
    )


class Assignment(View):
    """One replica that the node should run, or should stop."""

    replica_id: ReplicaId
    job_id: JobId
    job_name: str
    project: str
    project_number: int | None = Field(
        default=None, ge=1, description="the project's own, for good: its user on nodes comes of it"
    )
    queue: str
    epoch: int = Field(description="number of the attempt")
    gang: int = 0
    rank: int
    world_size: int
    desired: Literal["run", "stop"]
    max_duration_s: float | None = Field(default=None, description="of this attempt")
    stop_grace_s: float = 10.0
    stop_reason: ExitReason | None = Field(default=None, description="recorded when it was stopped")
    chips: tuple[AssignedChip, ...] = ()
    cores_milli: int
    memory_bytes: int
    command: tuple[str, ...] | None = Field(
        default=None, description="null: the engine runs `work`"
    )
    workdir: str | None = None
    engine: Literal["train", "serve"] | None = None
    work: Json = Field(default_factory=dict, description="what the engine is to do")
    env: dict[str, str] = Field(default_factory=dict)
    master: str | None = Field(
        default=None, description="host:port of rank 0; ranks above 0 start only once it is known"
    )
    serves: bool = Field(default=False, description="probe its port for readiness")
    storage: str = Field(description="fsspec URI of the job's own folder")
    lease: LeaseGrant | None = Field(default=None, description="null once it must stop")


class AssignmentList(View):
    """The whole desired state of a node. Receivers ignore a generation older than theirs."""

    generation: int
    assignments: tuple[Assignment, ...]


class HeldReplica(Strict):
    replica_id: ReplicaId
    epoch: int
    state: ReplicaState


class HeartbeatRequest(Strict):
    """Alive; these replicas are here; renew their leases."""

    instance: str = Field(description="changes with every start of the agent")
    generation: int = Field(ge=0, description="last generation converged to")
    replicas: Many[HeldReplica] = ()
    inventory: Inventory | None = Field(default=None, description="sent at start and on change")
    samples: Many[ChipSample] = ()
    cores_used_milli: int | None = None
    memory_used_bytes: int | None = None


class HeartbeatReply(View):
    generation: int
    leases: tuple[LeaseGrant, ...] = ()
    stop: tuple[ReplicaId, ...] = Field(
        default=(), description="replicas that have no live lease: stop them now"
    )
    rotate_credential: bool = False
    server_time: datetime


class Failure(Strict):
    """Why a workload cannot go on, by its own word: a code, and a sentence for its user."""

    code: str = Field(pattern=r"^[a-z][a-z0-9_]{0,63}$")
    message: Annotated[str, BeforeValidator(_one_line(1000))] = Field(min_length=1)
    final: bool = Field(default=False, description="another try, anywhere, would end the same")


class ExitRecord(Strict):
    """How a replica ended, as its supervisor wrote it down, with its last words."""

    code: int | None = Field(default=None, description="128 + signal where a signal ended it")
    signal: int | None = None
    reason: ExitReason
    message: str = Field(default="", max_length=4096)
    ended_at: datetime
    cpu_s: float | None = Field(default=None, ge=0)
    max_memory_bytes: int | None = Field(default=None, ge=0)
    wall_s: float | None = Field(default=None, ge=0)
    log_bytes: int | None = Field(
        default=None, ge=0, description="length of its whole output: tells when a log is complete"
    )
    failure: Failure | None = Field(default=None, description="the workload's own word")
    last_line: Annotated[str, BeforeValidator(_one_line(300))] = Field(
        default="", description="last line of its output, where it failed without a word"
    )


class SpeedReport(Strict):
    """A measured speed of this replica, for the throughput model."""

    work_class: str = Field(max_length=128, description="as penstock.api.work spells it")
    value: float = Field(ge=0)
    unit: str = Field(default="tokens/s", max_length=32)
    origin: Literal["profile", "observed"] = Field(
        default="observed", description="measured before it serves, or at work"
    )


class Observation(Strict):
    """What the agent saw of one replica. Fields that did not change may be left null."""

    replica_id: ReplicaId
    epoch: int
    state: ReplicaState
    observed_at: datetime
    address: str | None = Field(default=None, description="host:port reserved for this replica")
    ready: bool | None = None
    message: str = Field(default="", max_length=4096)
    progress: Progress | None = None
    speed: SpeedReport | None = Field(default=None, description="of agents before `speeds`")
    speeds: dict[str, SpeedReport] | None = Field(
        default=None, max_length=16, description="by class of work"
    )
    result: Json | None = Field(
        default=None, description="merged into the job's result; at most 64 KiB"
    )
    exit: ExitRecord | None = None


class ReportRequest(Strict):
    observations: Many[Observation] = Field(max_length=1000)


class Refusal(View):
    replica_id: ReplicaId
    code: Literal["stale_epoch", "unknown_replica", "not_yours"]


class ReportReply(View):
    accepted: tuple[ReplicaId, ...] = ()
    refused: tuple[Refusal, ...] = ()


class LogChunk(Strict):
    """Bytes of a replica's combined output from `offset` on, base64."""

    replica_id: ReplicaId
    epoch: int
    offset: int = Field(ge=0)
    data: str = Field(max_length=4 * 2**20)


class LogRequest(Strict):
    chunks: Many[LogChunk] = Field(max_length=500)


class LogReply(View):
    """Where each log stands at the server; the agent goes on from there."""

    offsets: dict[ReplicaId, int] = Field(default_factory=dict)
    refused: tuple[Refusal, ...] = ()
    retry_after_s: float | None = Field(default=None, description="set when the server is behind")


class CheckpointCommit(Strict):
    """Makes a written checkpoint real. Refused under any epoch but the current one."""

    replica_id: ReplicaId
    epoch: int
    step: int = Field(ge=0)
    uri: str = Field(max_length=4096)
    manifest_sha256: str = Field(pattern=r"^[0-9a-f]{64}$")


class CheckpointReply(View):
    checkpoint_id: CheckpointId
