"""What the agent asks of a way to run replicas. Two exist: real processes, and a fake in memory."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from penstock.api.assignments import Assignment, ExitRecord, Failure
from penstock.api.ids import ReplicaId
from penstock.api.states import ExitReason, ReplicaState
from penstock.json_types import JsonView


class StartError(Exception):
    """The replica could not be brought to run; the text is for its user."""


class NoRoom(StartError):
    """Something is missing now, room on the node's disk above all: the same start may succeed
    later.
    """


@dataclass(frozen=True, slots=True)
class Launch:
    """Everything a runtime needs to start one replica. `deadline_ns` tells the lease's deadline on
    the boot clock as it is then: a runtime that takes long to start asks at the last moment.
    """

    assignment: Assignment
    address: str
    token: str
    deadline_ns: Callable[[], int]


@dataclass(frozen=True, slots=True)
class Sighting:
    """What can be seen of a replica now; `exit` is set once, with the state `exited`."""

    epoch: int
    state: ReplicaState
    exit: ExitRecord | None = None


@dataclass(frozen=True, slots=True)
class StopOrder:
    """SIGTERM now, SIGKILL after the grace; reason and message go into the exit record."""

    reason: ExitReason
    grace_s: float
    message: str = ""


@dataclass(frozen=True, slots=True)
class Kept:
    """A replica that an earlier run of the agent left behind."""

    assignment: Assignment
    address: str
    token: str
    shipped: int = 0
    result: JsonView = field(default_factory=dict)
    failure: Failure | None = None


@dataclass(frozen=True, slots=True)
class Use:
    """What a live replica has used so far. Unknown is None."""

    cpu_s: float | None = None
    memory_bytes: int | None = None


Hint = Callable[[ReplicaId], None]
"""Called with a replica's id when there is something new to see of it. May be lost."""


class Runtime(Protocol):
    """Runs replicas under supervisors that outlive the agent. Every call is idempotent by id.

    What is awaited may take minutes and holds up nobody else. Of one replica such calls follow one
    another; of several they run at once. The rest answers at once.
    """

    async def start(self, launch: Launch) -> None:
        """Raises StartError; the replica then does not exist, nor if this call is cancelled."""

    async def stop(self, replica_id: ReplicaId, order: StopOrder) -> bool:
        """False when the order did not get through and has to be given again."""

    async def renew(self, replica_id: ReplicaId, deadline_ns: int) -> bool:
        """Moves the deadline on, never back."""

    async def sight(self, replica_id: ReplicaId) -> Sighting | None:
        """None where there is no such replica."""

    async def kept(self) -> tuple[Kept, ...]:
        """All replicas that are there, live or ended: what a restarted agent adopts."""

    def log_size(self, replica_id: ReplicaId) -> int:
        """Bytes of combined output so far."""

    async def read_log(self, replica_id: ReplicaId, offset: int, limit: int) -> bytes:
        """At most `limit` bytes from `offset` on."""

    def note_shipped(self, replica_id: ReplicaId, offset: int) -> None:
        """The control plane has the log up to here."""

    def note_result(self, replica_id: ReplicaId, result: JsonView) -> None:
        """Keeps the replica's result until it is forgotten. Raises OSError."""

    def note_failure(self, replica_id: ReplicaId, failure: Failure) -> None:
        """Keeps why the replica says it cannot go on until it is forgotten. Raises OSError."""

    def use(self, replica_id: ReplicaId) -> Use:
        """What the replica has used."""

    def pids(self, replica_id: ReplicaId) -> frozenset[int]:
        """The replica's processes."""

    async def forget(self, replica_id: ReplicaId) -> bool:
        """Deletes everything about an ended replica; False while its last process still ends."""

    def describe(self) -> dict[str, str]:
        """How limits are enforced, for the inventory."""

    def listen(self, hint: Hint) -> None:
        """Starts giving hints."""

    def tend(self) -> None:
        """Small upkeep, once per sweep."""

    def close(self) -> None:
        """Lets go of what the agent itself holds; replicas run on."""
