"""A launcher in memory: its processes are records, which a test moves."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from control_plane.launchers.base import Unreachable
from penstock.api.assignments import Assignment, AssignmentList, ExitRecord, Observation
from penstock.api.ids import NodeId, ReplicaId
from penstock.api.states import ExitReason, ReplicaState


@dataclass(frozen=True, slots=True)
class FakeProcess:
    """One replica; `exit` is set once nothing of it runs any more."""

    assignment: Assignment
    exit: ExitRecord | None = None


@dataclass(slots=True)
class FakeLauncher:
    """`reachable` is a switch. What runs goes on while nobody can be reached."""

    now: Callable[[], datetime]
    reachable: bool = True
    starts: list[ReplicaId] = field(default_factory=list)
    _nodes: dict[NodeId, dict[ReplicaId, FakeProcess]] = field(default_factory=dict)
    _generations: dict[NodeId, int] = field(default_factory=dict)

    def apply(self, node_id: NodeId, desired: AssignmentList) -> None:
        self._reach()
        if desired.generation < self._generations.get(node_id, 0):
            return
        self._generations[node_id] = desired.generation
        known = self._nodes.get(node_id, {})
        self._nodes[node_id] = here = {}
        for it in desired.assignments:
            before = known.pop(it.replica_id, None)
            if before is not None:
                here[it.replica_id] = before
            elif it.desired == "stop" or it.rank == 0 or it.master is not None:
                here[it.replica_id] = self._start(it)
            if it.desired == "stop":
                self.end(it.replica_id, ExitReason.STOPPED)

    def observe(self, node_id: NodeId) -> Sequence[Observation]:
        self._reach()
        return [
            Observation(
                replica_id=it.assignment.replica_id,
                epoch=it.assignment.epoch,
                state=ReplicaState.RUNNING if it.exit is None else ReplicaState.EXITED,
                observed_at=self.now(),
                address=f"{node_id}:{20_000 + number}",
                exit=it.exit,
            )
            for number, it in enumerate(self._nodes.get(node_id, {}).values())
        ]

    def end(self, replica_id: ReplicaId, reason: ExitReason) -> None:
        """A process ends, by itself or as it was told. One that has ended stays as it is."""
        for processes in self._nodes.values():
            found = processes.get(replica_id)
            if found is not None and found.exit is None:
                record = ExitRecord(reason=reason, ended_at=self.now())
                processes[replica_id] = replace(found, exit=record)

    def running(self) -> set[ReplicaId]:
        """Replicas whose process lives."""
        every = (it for processes in self._nodes.values() for it in processes.values())
        return {it.assignment.replica_id for it in every if it.exit is None}

    def _start(self, assignment: Assignment) -> FakeProcess:
        if assignment.desired == "run":
            self.starts.append(assignment.replica_id)
        return FakeProcess(assignment)

    def _reach(self) -> None:
        if not self.reachable:
            raise Unreachable("the fake was switched off")
