"""The replicas that this node has now, as the agent knows them. Memory only; disk is elsewhere."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

from agents.replicas.converge import Local, chips_of
from agents.runtimes.base import StopOrder
from penstock.api.assignments import Assignment, ExitRecord, Failure, HeldReplica
from penstock.api.ids import ReplicaId
from penstock.api.jobs import Progress
from penstock.api.states import ReplicaState
from penstock.json_types import JsonView


@dataclass(frozen=True, slots=True)
class Held:
    """One replica. `log_done`: its log is shipped to the end, or nobody wants it.

    `begun`: its runtime has it. `doom` is the order to stop that it was given, or is to be given as
    soon as it can be.
    """

    assignment: Assignment
    address: str
    token: str
    state: ReplicaState
    begun: bool = True
    adopted: bool = True
    exit: ExitRecord | None = None
    exit_accepted: bool = False
    ready: bool | None = None
    result: JsonView = field(default_factory=dict)
    failure: Failure | None = None
    progress: Progress | None = None
    shipped: int = 0
    log_done: bool = False
    doom: StopOrder | None = None

    @property
    def id(self) -> ReplicaId:
        return self.assignment.replica_id

    @property
    def epoch(self) -> int:
        return self.assignment.epoch

    @property
    def live(self) -> bool:
        return self.state is not ReplicaState.EXITED

    @property
    def settled(self) -> bool:
        return self.exit_accepted and self.log_done


class Replicas:
    """All of them, in the order in which they came."""

    def __init__(self) -> None:
        self._held: dict[ReplicaId, Held] = {}

    def add(self, held: Held) -> None:
        self._held[held.id] = held

    def get(self, replica_id: ReplicaId) -> Held | None:
        return self._held.get(replica_id)

    def change(self, replica_id: ReplicaId, **fields: Any) -> Held:
        """Replaces fields of one replica. Raises KeyError when it is not here."""
        self._held[replica_id] = replace(self._held[replica_id], **fields)
        return self._held[replica_id]

    def remove(self, replica_id: ReplicaId) -> None:
        self._held.pop(replica_id, None)

    def __iter__(self) -> Iterator[Held]:
        return iter(list(self._held.values()))

    def __len__(self) -> int:
        return len(self._held)

    def live(self) -> list[Held]:
        return [held for held in self if held.live]

    def local(self) -> tuple[Local, ...]:
        """What `converge` looks at."""
        return tuple(
            Local(
                replica_id=held.id,
                epoch=held.epoch,
                state=held.state,
                chips=chips_of(held.assignment),
                adopted=held.adopted,
                settled=held.settled,
            )
            for held in self
        )

    def reported(self) -> tuple[HeldReplica, ...]:
        """What a heartbeat says is here: replicas whose end is not yet known to the server."""
        return tuple(
            HeldReplica(replica_id=held.id, epoch=held.epoch, state=held.state)
            for held in self
            if not held.exit_accepted
        )
