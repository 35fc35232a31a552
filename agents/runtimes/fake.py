"""Replicas that are no processes: scripted outcomes in memory, for tests and dry runs."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

from agents.runtimes.base import Hint, Kept, Launch, Sighting, StartError, StopOrder, Use
from penstock.api.assignments import ExitRecord, Failure
from penstock.api.ids import ReplicaId
from penstock.api.states import ExitReason, ReplicaState
from penstock.json_types import JsonView


@dataclass(frozen=True, slots=True)
class Script:
    """What a replica does: fails to start, ends at once with a code, or runs until it is told.

    `obeys`: whether a stop ends it at once; if not, only `FakeRuntime.end` does. Its start takes
    until `opens`, where there is one.
    """

    fails: str | None = None
    code: int | None = None
    output: bytes = b""
    obeys: bool = True
    opens: asyncio.Event | None = None


@dataclass(slots=True)
class FakeReplica:
    launch: Launch
    script: Script
    deadline_ns: int
    state: ReplicaState = ReplicaState.RUNNING
    exit: ExitRecord | None = None
    log: bytes = b""
    shipped: int = 0
    order: StopOrder | None = None
    result: JsonView = field(default_factory=dict)
    failure: Failure | None = None


class FakeRuntime:
    """`script` decides what each replica does. `expire` plays the supervisors' clock."""

    def __init__(self, script: Callable[[Launch], Script] = lambda _: Script()) -> None:
        self.script = script
        self.replicas: dict[ReplicaId, FakeReplica] = {}
        self.started: list[ReplicaId] = []
        self.renewals: dict[ReplicaId, list[int]] = defaultdict(list)
        self._hint: Hint = lambda _: None

    async def start(self, launch: Launch) -> None:
        replica_id = launch.assignment.replica_id
        script = self.script(launch)
        if script.opens is not None:
            await script.opens.wait()
        if replica_id in self.replicas:
            return
        if script.fails is not None:
            raise StartError(script.fails)
        self.started.append(replica_id)
        self.replicas[replica_id] = FakeReplica(
            launch, script, launch.deadline_ns(), log=script.output
        )
        self._hint(replica_id)
        if script.code is not None:
            self.end(replica_id, script.code)

    def end(self, replica_id: ReplicaId, code: int = 0, reason: ExitReason | None = None) -> None:
        """The replica ends; without a reason, the one that its code stands for."""
        replica = self.replicas[replica_id]
        if replica.exit is not None:
            return
        own = ExitReason.COMPLETED if code == 0 else ExitReason.ERROR
        ended_at = datetime.now(UTC)
        replica.exit = ExitRecord(code=code, reason=reason or own, ended_at=ended_at)
        replica.state = ReplicaState.EXITED
        self._hint(replica_id)

    def write(self, replica_id: ReplicaId, output: bytes) -> None:
        """The replica prints something."""
        self.replicas[replica_id].log += output

    def expire(self, now_ns: int) -> None:
        """Ends what its deadline has passed for, as a supervisor would."""
        for replica_id, replica in self.replicas.items():
            if replica.deadline_ns <= now_ns:
                self.end(replica_id, 143, ExitReason.LEASE_EXPIRED)

    async def stop(self, replica_id: ReplicaId, order: StopOrder) -> bool:
        replica = self.replicas.get(replica_id)
        if replica is None:
            return False
        replica.order = replica.order or order
        if replica.script.obeys:
            self.end(replica_id, 143, replica.order.reason)
        return True

    async def renew(self, replica_id: ReplicaId, deadline_ns: int) -> bool:
        replica = self.replicas.get(replica_id)
        if replica is None:
            return False
        self.renewals[replica_id].append(deadline_ns)
        replica.deadline_ns = max(replica.deadline_ns, deadline_ns)
        return True

    async def sight(self, replica_id: ReplicaId) -> Sighting | None:
        replica = self.replicas.get(replica_id)
        if replica is None:
            return None
        return Sighting(replica.launch.assignment.epoch, replica.state, replica.exit)

    async def kept(self) -> tuple[Kept, ...]:
        return tuple(
            Kept(
                it.launch.assignment,
                it.launch.address,
                it.launch.token,
                it.shipped,
                it.result,
                it.failure,
            )
            for it in self.replicas.values()
        )

    def log_size(self, replica_id: ReplicaId) -> int:
        replica = self.replicas.get(replica_id)
        return 0 if replica is None else len(replica.log)

    async def read_log(self, replica_id: ReplicaId, offset: int, limit: int) -> bytes:
        return self.replicas[replica_id].log[offset : offset + limit]

    def note_shipped(self, replica_id: ReplicaId, offset: int) -> None:
        self.replicas[replica_id].shipped = offset

    def note_result(self, replica_id: ReplicaId, result: JsonView) -> None:
        self.replicas[replica_id].result = dict(result)

    def note_failure(self, replica_id: ReplicaId, failure: Failure) -> None:
        self.replicas[replica_id].failure = failure

    def use(self, replica_id: ReplicaId) -> Use:
        return Use()

    def pids(self, replica_id: ReplicaId) -> frozenset[int]:
        return frozenset()

    async def forget(self, replica_id: ReplicaId) -> bool:
        self.replicas.pop(replica_id, None)
        return True

    def describe(self) -> dict[str, str]:
        return dict.fromkeys(("cpu", "memory", "link"), "not enforced: the runtime is a fake")

    def listen(self, hint: Hint) -> None:
        self._hint = hint

    def tend(self) -> None:
        """Nothing to keep up."""

    def close(self) -> None:
        """Replicas stay, as real ones would."""
        self._hint = lambda _: None


def scripted(**by_name: Script) -> Callable[[Launch], Script]:
    """Scripts by job name; what is not named runs until it is told to end."""
    return lambda launch: replace(by_name.get(launch.assignment.job_name, Script()))
