"""What the fake API server knows: a small pool, its jobs, and the faults it is told to make.

Every document comes from a wire type, so a fake that drifts from the types fails to build. Jobs
are not run: `echo` prints its words, `exit N` ends with N, anything else runs until cancelled.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from penstock.api.chips import Chip, ChipType
from penstock.api.endpoints import Endpoint, EndpointReplica
from penstock.api.jobs import Event, Job, LogLine, Replica
from penstock.api.nodes import Health, Intent, Node
from penstock.api.queues import Queue
from penstock.api.specs import JobSpec
from penstock.api.states import (
    ChipHealth,
    EndpointState,
    ExitReason,
    JobState,
    NodeHealth,
    NodeIntent,
    ReplicaState,
)

SINCE = datetime(2026, 1, 1, tzinfo=UTC)
TOKEN = "pst_fake-admin-token"
MEMBER_TOKEN = "pst_fake-member-token"


@dataclass
class Faults:
    """What goes wrong, each counted down as it happens."""

    lose_answers: int = 0
    """Requests that are carried out but whose answer never arrives."""
    busy: int = 0
    """Requests answered 503 at once."""
    cut_streams_after: list[int] = field(default_factory=list)
    """Per stream connection: cut in the middle of an event after so many whole ones."""
    cut_texts_after: list[int] = field(default_factory=list)
    """Per log text: cut after so many bytes."""
    unwell: dict[str, str] = field(default_factory=dict)
    """Parts that `/readyz` calls not well, and why."""


@dataclass
class FakeState:
    """Everything behind the fake server. Tests change it while the server runs."""

    jobs: dict[str, Job] = field(default_factory=dict)
    lines: dict[str, list[LogLine]] = field(default_factory=dict)
    keys: dict[str, tuple[str, Any]] = field(default_factory=dict)
    tokens: list[dict[str, Any]] = field(default_factory=list)
    intent: NodeIntent = NodeIntent.SCHEDULABLE
    faults: Faults = field(default_factory=Faults)
    requests: list[tuple[str, str, dict[str, str]]] = field(default_factory=list)
    queued_first: bool = False
    """Jobs stay queued until they are cancelled."""
    _numbers: itertools.count[int] = field(default_factory=lambda: itertools.count(1))

    def submit(self, spec: JobSpec) -> Job:
        number = next(self._numbers)
        job_id = f"job_{number:032x}"
        job = Job(
            id=job_id, name=spec.name or f"{spec.type}-{job_id[-8:]}", project="default",
            queue=spec.queue, type=spec.type, priority=spec.priority, attempt=1,
            state=JobState.QUEUED, reason="submitted", message="waits for the next cycle",
            since=SINCE, created_at=SINCE, waited_s=0.5, labels=spec.labels, spec=spec,
            asked={"any": spec.resources.chips.least}, etag=str(number),
        )  # fmt: skip
        self.jobs[job_id] = job
        self.lines[job_id] = []
        if not self.queued_first:
            self._run(job)
        return self.jobs[job_id]

    def find(self, ref: str) -> Job | None:
        named = [job for job in self.jobs.values() if ref in (job.id, job.name)]
        return named[-1] if named else None

    def end(self, job: Job, state: JobState, code: int) -> Job:
        reason = ExitReason.COMPLETED if code == 0 else ExitReason.ERROR
        ended = job.model_copy(
            update={
                "state": state, "reason": state.value, "message": f"ended with code {code}",
                "exit_code": code, "exit_reason": reason, "ended_at": SINCE, "ran_s": 1.0,
            }
        )  # fmt: skip
        self.jobs[job.id] = ended
        return ended

    def say(self, job: Job, text: str, rank: int = 0) -> None:
        line = LogLine(replica=f"replica_{rank:032x}", rank=rank, text=text)
        self.lines[job.id].append(line)

    def replicas(self, job: Job) -> list[Replica]:
        world = job.spec.task.replicas if job.spec.task else 1
        return [
            Replica(
                id=f"replica_{rank:032x}", job=job.name, job_id=job.id, node="node-a", gang=0,
                rank=rank, world_size=world, attempt=1, cores_milli=1000, memory_bytes=2**30,
                state=ReplicaState.RUNNING, reason="running", message="runs", since=SINCE,
            )
            for rank in range(world)
        ]  # fmt: skip

    def events(self, job: Job) -> list[Event]:
        kinds = ["job.queued", "job.starting", "job.running", f"job.{job.state.value}"]
        return [
            Event(
                id=100 + seq, seq=seq, object_type="job", object_id=job.id, project="default",
                type=kind, message=f"{job.name}: {kind}", at=SINCE,
            )
            for seq, kind in enumerate(kinds, start=1)
        ]  # fmt: skip

    def _run(self, job: Job) -> None:
        running = job.model_copy(update={"state": JobState.RUNNING, "reason": "running"})
        self.jobs[job.id] = running
        command = job.spec.task.command if job.spec.task else ()
        for rank in range(job.spec.task.replicas if job.spec.task else 1):
            if command[:1] == ("echo",):
                self.say(job, " ".join(command[1:]), rank)
        if command[:1] == ("echo",):
            self.end(running, JobState.SUCCEEDED, 0)
        elif command[:1] == ("exit",):
            code = int(command[1])
            self.end(running, JobState.FAILED if code else JobState.SUCCEEDED, code)


def a_node(intent: NodeIntent = NodeIntent.SCHEDULABLE) -> Node:
    health = Health(state=NodeHealth.READY, reason="heartbeat", message="beats", since=SINCE)
    return Node(
        id=f"node_{1:032x}", name="node-a", health=health,
        intent=Intent(state=intent, reason="operator", message="", since=SINCE),
        cores_milli=2000, free_cores_milli=1250, memory_bytes=8 * 2**30,
        free_memory_bytes=4 * 2**30, num_chips=2, chips={"cpu": 1, "emulated-a100": 1},
        created_at=SINCE, etag="1",
    )  # fmt: skip


def some_chips() -> list[Chip]:
    return [
        Chip(
            id=f"chip_{1:032x}", node="node-a", vendor="cpu", type="cpu", index=0,
            health=ChipHealth.HEALTHY, emulated=False, free_milli=1000,
        ),
        Chip(
            id=f"chip_{2:032x}", node="node-a", vendor="emulated", type="emulated-a100", index=0,
            memory_bytes=2 * 2**30, health=ChipHealth.HEALTHY, emulated=True,
            stands_for="a100", free_milli=250, held_by=["tiny-coder"],
        ),
    ]  # fmt: skip


def some_types() -> list[ChipType]:
    return [
        ChipType(
            type="emulated-a100", vendor="emulated", emulated=True, stands_for="a100", total=1,
            free_milli=250, healthy=1, verified=False,
        )
    ]  # fmt: skip


def a_queue() -> Queue:
    return Queue(
        id=f"queue_{1:032x}", name="default", limits={"any": 8}, used={"emulated-a100": 0.75},
        waiting=1, running=2, oldest_wait_s=90.0, etag="1",
    )  # fmt: skip


def an_endpoint() -> Endpoint:
    replica = EndpointReplica(
        id=f"replica_{9:032x}", node="node-a", chip_type="cpu", state="running", ready=True
    )
    return Endpoint(
        id=f"endpoint_{1:032x}", name="tiny", project="default", job="tiny-serve", model="tiny",
        url="http://127.0.0.1:8470/v1", num_replicas=1, replicas=[replica],
        state=EndpointState.READY, reason="ready", message="1 of 1 ready", since=SINCE,
        created_at=SINCE,
    )  # fmt: skip
