"""A node's agent in memory, for tests of the control plane: it follows the agent protocol by
calling the services, decides by the real agent's pure rules, and its processes are records.

It keeps the node's truth: which processes live, and until when their leases let them. Faults
are switches: cut off, replies lost, processes that do not stop, a clock that runs off.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from agents.replicas.converge import (
    Adopt,
    Circumstances,
    Decline,
    Forget,
    Local,
    Start,
    Stop,
    Wait,
    converge,
    newest,
)
from control_plane.clock import ManualClock
from control_plane.services.agents.assignments import assignment_list, node_generation
from control_plane.services.agents.heartbeat import record_heartbeat
from control_plane.services.agents.reports import record_reports
from control_plane.services.deps import Deps
from penstock.api.assignments import (
    Assignment,
    AssignmentList,
    ExitRecord,
    HeartbeatRequest,
    HeldReplica,
    Inventory,
    LeaseGrant,
    Observation,
    ReportReply,
    ReportRequest,
)
from penstock.api.ids import NodeId, ReplicaId
from penstock.api.states import ExitReason, ReplicaState
from tests.fakes.lease_clock import steady

BOOT = datetime(2026, 1, 1, tzinfo=UTC)
NS = 1_000_000_000
CODES = {ExitReason.COMPLETED: 0, ExitReason.STOPPED: 143, ExitReason.LEASE_EXPIRED: 137}


@dataclass(slots=True)
class Process:
    """One replica on the node. `told` is the last state that the server took in."""

    assignment: Assignment
    address: str
    state: ReplicaState = ReplicaState.STARTING
    told: ReplicaState | None = None
    exit: ExitRecord | None = None
    ready: bool = False

    @property
    def id(self) -> ReplicaId:
        return self.assignment.replica_id

    @property
    def live(self) -> bool:
        return self.state is not ReplicaState.EXITED


@dataclass(slots=True)
class FakeAgent:
    """`tick` is one round of everything that the real one does in its loops. `addresses` are what
    the next replicas get, where something real listens for them.
    """

    deps: Deps
    clock: ManualClock
    name: str
    node_id: str
    inventory: Inventory
    credential: str = ""
    told: Inventory = field(init=False)
    online: bool = True
    loses_replies: bool = False
    stubborn: bool = False
    clock_rate: float = 1.0
    instance: str = "1"
    incarnation: str | None = None
    addresses: list[str] = field(default_factory=list)
    desired: AssignmentList | None = None
    processes: dict[str, Process] = field(default_factory=dict)
    deadlines_ns: dict[ReplicaId, int] = field(default_factory=dict)
    finished: set[str] = field(default_factory=set)
    sent: list[ReportRequest] = field(default_factory=list)
    beats: list[HeartbeatRequest] = field(default_factory=list)
    lists: list[tuple[AssignmentList, int]] = field(default_factory=list)
    _ports: int = 20000

    def __post_init__(self) -> None:
        self.told = self.inventory  # it enrolled with it

    def tick(self) -> None:
        """Enforces deadlines; then, if the control plane can be reached, talks to it."""
        self.enforce()
        if self.online:
            self.beat()
            self.poll()
            self.report()
            self.poll()

    def beat(self) -> None:
        """One heartbeat: renews the leases of what lives here, stops what has none."""
        sent_ns = self.now_ns()
        held = tuple(
            HeldReplica(replica_id=ReplicaId(it.id), epoch=it.assignment.epoch, state=it.state)
            for it in self.processes.values()
            if it.live
        )
        generation = self.desired.generation if self.desired is not None else 0
        news = self.inventory if self.inventory != self.told else None
        request = HeartbeatRequest(
            instance=self.instance, generation=generation, replicas=held, inventory=news
        )
        self.beats.append(request)
        reply = record_heartbeat(self.deps, NodeId(self.node_id), request, self.incarnation)
        if self.loses_replies:
            return
        self.told = self.inventory
        self._renew(reply.leases, sent_ns)
        for replica_id in reply.stop:
            self._stop(replica_id, ExitReason.STOPPED)

    def poll(self) -> None:
        """Fetches the assignment list if it changed, as the long poll does, and converges."""
        sent_ns = self.now_ns()
        known = self.desired.generation if self.desired is not None else 0
        if node_generation(self.deps, NodeId(self.node_id)) <= known:
            return
        received = assignment_list(self.deps, NodeId(self.node_id), self.incarnation)
        self.lists.append((received, sent_ns))
        if self.loses_replies:
            return
        self.take(received, sent_ns)

    def take(self, received: AssignmentList, sent_ns: int) -> None:
        """Follows a list, unless a newer one came before it."""
        self.desired = newest(self.desired, received)
        if self.desired is not received:
            return
        self._renew((it.lease for it in received.assignments if it.lease), sent_ns)
        self.finished &= {it.replica_id for it in received.assignments}
        self._converge(received)

    def report(self) -> None:
        """Tells what the server does not know yet, in one request."""
        news = tuple(self._observation(it) for it in self.processes.values() if it.told != it.state)
        if not news:
            return
        request = ReportRequest(observations=news)
        self.sent.append(request)
        reply = record_reports(self.deps, NodeId(self.node_id), request)
        if not self.loses_replies:
            self._told(request, reply)

    def send_again(self, request: ReportRequest) -> ReportReply:
        """A message that arrives a second time, or very late."""
        return record_reports(self.deps, NodeId(self.node_id), request)

    def enforce(self) -> None:
        """What the supervisors do without anybody: end what was told to stop, unless it cannot be
        ended now, and stop what passed its lease's deadline.
        """
        for process in self.processes.values():
            if process.state is ReplicaState.STOPPING and not self.stubborn:
                self._end(process, ExitReason.STOPPED)
            if process.live and self.deadlines_ns.get(process.id, 0) <= self.now_ns():
                self._end(process, ExitReason.LEASE_EXPIRED)

    def run(self, replica_id: str, *, ready: bool = False) -> None:
        """The process has started."""
        process = self.processes[replica_id]
        if process.state is ReplicaState.STARTING:
            process.state = ReplicaState.RUNNING
        if process.ready != ready:
            process.ready, process.told = ready, None

    def exit(
        self, replica_id: str, reason: ExitReason, code: int | None = None, **said: Any
    ) -> None:
        """The process ends by itself; `said` are fields of its exit record."""
        self._end(self.processes[replica_id], reason, code, **said)

    def reboot(self) -> None:
        """The machine starts anew: its processes are gone and nothing of them is ever told."""
        self.instance += "'"
        self.processes.clear()
        self.deadlines_ns.clear()
        self.desired = None

    def live(self) -> Iterator[Process]:
        """Processes that live and may: their lease's deadline has not passed."""
        for process in self.processes.values():
            if process.live and self.deadlines_ns.get(process.id, 0) > self.now_ns():
                yield process

    def now_ns(self) -> int:
        """The node's own clock, which knows nothing of the server's."""
        return int((steady(self.clock) - BOOT) / timedelta(seconds=1) * self.clock_rate * NS)

    def _renew(self, leases: Iterator[LeaseGrant] | tuple[LeaseGrant, ...], sent_ns: int) -> None:
        for lease in leases:
            until = sent_ns + int((lease.remaining_s - lease.margin_s) * NS)
            known = self.deadlines_ns.get(lease.replica_id, 0)
            self.deadlines_ns[lease.replica_id] = max(known, until)

    def _converge(self, desired: AssignmentList) -> None:
        here = [_local(it) for it in self.processes.values()]
        circumstances = Circumstances(self.now_ns(), self.deadlines_ns, frozenset(self.finished))
        for action in converge(desired, here, circumstances):
            match action:
                case Start(assignment):
                    self._start(assignment)
                case Stop(replica_id, reason):
                    self._stop(replica_id, reason)
                case Decline(assignment):
                    self._start(assignment)
                    self._end(self.processes[assignment.replica_id], ExitReason.STOPPED)
                case Forget(replica_id):
                    del self.processes[replica_id]
                    self.deadlines_ns.pop(replica_id, None)
                    self.finished.add(replica_id)
                case Adopt() | Wait():
                    pass

    def _start(self, assignment: Assignment) -> None:
        self._ports += 1
        reserved = f"{self.inventory.address}:{self._ports}"
        address = self.addresses.pop(0) if self.addresses else reserved
        self.processes[assignment.replica_id] = Process(assignment, address)

    def _stop(self, replica_id: str, reason: ExitReason) -> None:
        process = self.processes.get(replica_id)
        if process is None or not process.live:
            return
        if self.stubborn:
            process.state = ReplicaState.STOPPING
        else:
            self._end(process, reason)

    def _end(
        self, process: Process, reason: ExitReason, code: int | None = None, **said: Any
    ) -> None:
        process.state, process.ready = ReplicaState.EXITED, False
        process.exit = ExitRecord(
            code=CODES.get(reason, 1) if code is None else code,
            reason=reason,
            ended_at=self.clock.now(),
            **{"message": f"ended: {reason}", **said},
        )

    def _observation(self, process: Process) -> Observation:
        return Observation(
            replica_id=process.id,
            epoch=process.assignment.epoch,
            state=process.state,
            observed_at=self.clock.now(),
            address=process.address,
            ready=process.ready,
            exit=process.exit,
        )

    def _told(self, request: ReportRequest, reply: ReportReply) -> None:
        refused = {it.replica_id for it in reply.refused}
        for seen in request.observations:
            process = self.processes.get(seen.replica_id)
            if process is None:
                continue
            process.told = seen.state
            if seen.replica_id in refused and process.live:
                self._end(process, ExitReason.STOPPED)


def _local(process: Process) -> Local:
    chips = tuple((chip.chip_id, chip.milli) for chip in process.assignment.chips)
    settled = not process.live and process.told is ReplicaState.EXITED
    return Local(process.id, process.assignment.epoch, process.state, chips, settled=settled)
