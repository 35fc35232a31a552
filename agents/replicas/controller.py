"""Carries out what `converge` decides and notes what the replicas do.

The one writer of the replicas and of the outbox. Whoever calls it never waits: a replica that has
something to be done gets a task, which takes its turns one after another, and what could not be
done now is tried again at the next hint or sweep. Sending is the loops' part.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, Final

import structlog

from agents.boottime import boottime_ns, seconds_ns
from agents.replicas.converge import (
    NO_LEASE_GRACE_S,
    Action,
    Adopt,
    Circumstances,
    Decline,
    Forget,
    Start,
    Stop,
    Wait,
    converge,
    newest,
)
from agents.replicas.last_output import with_last_output
from agents.replicas.outbox import Outbox
from agents.replicas.ports import NoPort, Ports, port_of
from agents.replicas.states import Held, Replicas
from agents.replicas.turns import Turns
from agents.runtimes.base import Launch, NoRoom, Runtime, StartError, StopOrder
from penstock.api.assignments import (
    Assignment,
    AssignmentList,
    ExitRecord,
    HeldReplica,
    LeaseGrant,
    Observation,
    Refusal,
)
from penstock.api.ids import ReplicaId
from penstock.api.states import ExitReason, ReplicaState

log = structlog.get_logger()

_ENDING: Final = (ReplicaState.STOPPING, ReplicaState.EXITED)
_NEVER_STARTED: Final = "it was stopped before it started"
_STEPS: Final = (
    ReplicaState.ASSIGNED,
    ReplicaState.STARTING,
    ReplicaState.RUNNING,
    ReplicaState.STOPPING,
    ReplicaState.EXITED,
)


@dataclass(slots=True)
class ReplicaController:
    """`ring` wakes the sender; `ended` is told of a replica whose log has more to ship first."""

    runtime: Runtime
    host: str
    ports: Ports
    ring: Callable[[], None] = lambda: None
    ended: Callable[[ReplicaId], Awaitable[None]] | None = None
    replicas: Replicas = field(default_factory=Replicas)
    outbox: Outbox = field(default_factory=Outbox)
    desired: AssignmentList | None = None
    foreign: frozenset[str] = frozenset()
    _deadlines_ns: dict[ReplicaId, int] = field(default_factory=dict)
    _finished: frozenset[str] = frozenset()
    _waiting: dict[ReplicaId, Wait] = field(default_factory=dict)
    _renewed_ns: dict[ReplicaId, int] = field(default_factory=dict)
    _starting: set[ReplicaId] = field(default_factory=set)
    _turns: Turns = field(init=False)

    def __post_init__(self) -> None:
        self._turns = Turns(self._turn)

    @property
    def generation(self) -> int:
        return self.desired.generation if self.desired is not None else 0

    async def recover(self) -> None:
        """Takes up the replicas that an earlier run of the agent left."""
        for kept in await self.runtime.kept():
            seen = await self.runtime.sight(kept.assignment.replica_id)
            if seen is None:
                continue
            state = ReplicaState.STARTING if seen.exit else seen.state
            held = Held(
                kept.assignment,
                kept.address,
                kept.token,
                state,
                adopted=False,
                shipped=kept.shipped,
                result=kept.result,
                failure=kept.failure,
            )
            self.replicas.add(held)
            log.info("replica_recovered", replica_id=held.id, state=seen.state)
            self.report(held, address=held.address, result=dict(kept.result) or None)
            self.hint(held.id)

    def take(self, received: AssignmentList, sent_ns: int) -> None:
        """A list from the control plane, asked for at `sent_ns`."""
        self.desired = newest(self.desired, received)
        if self.desired is received:
            ids = {it.replica_id for it in received.assignments}
            self._finished &= ids
            self.renew((it.lease for it in received.assignments if it.lease), sent_ns)
        self.converge()

    def converge(self) -> None:
        """Decides what can be done now towards the list, and wakes whom it concerns."""
        if self.desired is None:
            return
        circumstances = Circumstances(
            boottime_ns(), self._deadlines_ns, self._finished, self.foreign
        )
        actions = converge(self.desired, self.replicas.local(), circumstances)
        self._note_waiting([it for it in actions if isinstance(it, Wait)])
        for action in actions:
            self._do(action)
        self._prune()

    def _note_waiting(self, waits: Sequence[Wait]) -> None:
        waiting = {it.assignment.replica_id: it for it in waits}
        for replica_id, wait in waiting.items():
            if replica_id not in self._waiting or self._waiting[replica_id].why != wait.why:
                log.info("replica_waits", replica_id=replica_id, why=wait.why)
        self._waiting = waiting

    def renew(self, leases: Iterable[LeaseGrant], sent_ns: int) -> None:
        """Moves deadlines on. They count from the moment the request was *sent*."""
        for lease in leases:
            held = self.replicas.get(lease.replica_id)
            if held is not None and held.epoch != lease.epoch:
                continue
            left_s = min(lease.remaining_s, lease.ttl_s or lease.remaining_s)
            deadline = sent_ns + seconds_ns(left_s - lease.margin_s)
            if deadline > self._deadlines_ns.get(lease.replica_id, 0):
                self._deadlines_ns[lease.replica_id] = deadline
            if held is not None:
                self.hint(held.id)

    def hint(self, replica_id: ReplicaId) -> None:
        """There is something to see or to do of this replica: it gets a turn."""
        self._turns.ask(replica_id)

    def sweep(self) -> None:
        """Looks at everything again: a lost hint costs no more than the time until this."""
        self.runtime.tend()
        for held in self.replicas.live():
            self.hint(held.id)
        self.converge()
        if len(self.outbox):
            self.ring()

    def stop_all(self, message: str) -> None:
        for held in self.replicas.live():
            self._doom(held, StopOrder(ExitReason.STOPPED, held.assignment.stop_grace_s, message))

    def stop_unleased(self, replica_ids: Iterable[ReplicaId]) -> None:
        """The control plane knows no live lease of these: they end now."""
        for replica_id in replica_ids:
            held = self.replicas.get(replica_id)
            if held is not None and held.state not in _ENDING:
                message = "the control plane knows no lease of it"
                self._doom(held, StopOrder(ExitReason.LEASE_EXPIRED, NO_LEASE_GRACE_S, message))

    def accepted(self, replica_ids: Iterable[ReplicaId], sent: Sequence[Observation]) -> None:
        """The control plane took these replicas' observations."""
        known = set(replica_ids)
        for observation in sent:
            held = self.replicas.get(observation.replica_id)
            if observation.exit is not None and held is not None and held.id in known:
                self.replicas.change(held.id, exit_accepted=True)
        self.converge()

    def refused(self, refusals: Iterable[Refusal]) -> None:
        """Nobody wants to hear of these replicas any more: they end now, and nothing is told."""
        for refusal in refusals:
            held = self.replicas.get(refusal.replica_id)
            if held is not None and not held.exit_accepted:
                log.warning("replica_refused", replica_id=held.id, code=refusal.code)
                self.stop_unleased([held.id])
                self.replicas.change(held.id, exit_accepted=True, log_done=True)
            self.outbox.drop(refusal.replica_id)
        self.converge()

    def report(self, held: Held, urgent: bool = True, **fields: Any) -> None:
        """Puts an observation on its way, unless nobody would listen.

        The end is reported with its record only; in between a replica is reported as running.
        """
        if held.exit_accepted:
            return
        before_its_end = held.state is ReplicaState.EXITED and fields.get("exit") is None
        self.outbox.put(
            Observation(
                replica_id=held.id,
                epoch=held.epoch,
                observed_at=datetime.now(UTC),
                state=ReplicaState.RUNNING if before_its_end else held.state,
                **fields,
            )
        )
        if urgent:
            self.ring()

    async def report_end(self, replica_id: ReplicaId) -> None:
        """Tells that a replica has ended: after `ended` was called for it."""
        held = self.replicas.get(replica_id)
        if held is not None and held.exit is not None:
            record = await with_last_output(held.exit, held, self.runtime)
            self.report(held, exit=record, message=record.message)

    def reported(self) -> tuple[HeldReplica, ...]:
        """What a heartbeat lists: what is here, and what waits to be started."""
        waiting = (it.assignment for it in self._waiting.values())
        return self.replicas.reported() + tuple(
            HeldReplica(replica_id=it.replica_id, epoch=it.epoch, state=ReplicaState.ASSIGNED)
            for it in waiting
        )

    def waiting(self) -> tuple[Assignment, ...]:
        return tuple(it.assignment for it in self._waiting.values())

    def _do(self, action: Action) -> None:
        match action:
            case Start(assignment):
                self._begin(assignment)
            case Stop(replica_id, reason, grace_s, message):
                held = self.replicas.get(replica_id)
                if held is not None:
                    self._doom(held, StopOrder(reason, grace_s, message))
            case Adopt(replica_id):
                held = self.replicas.change(replica_id, adopted=True)
                log.info("replica_adopted", replica_id=replica_id, state=held.state)
            case Decline(assignment):
                reason = assignment.stop_reason or ExitReason.STOPPED
                held = Held(assignment, "", "", ReplicaState.STARTING, begun=False)
                self._never_ran(held, _record(reason, _NEVER_STARTED))
            case Forget(replica_id):
                self.hint(replica_id)
            case Wait():
                pass

    def _begin(self, assignment: Assignment) -> None:
        """It is `starting` from now on. Its address is told once it is kept with the replica."""
        held = Held(assignment, "", secrets.token_hex(16), ReplicaState.STARTING, begun=False)
        taken = {port_of(it.address) or 0 for it in self.replicas}
        try:
            address = f"{self.host}:{self.ports.reserve(self.host.strip('[]'), taken)}"
        except NoPort as error:
            self._never_ran(held, _record(ExitReason.START_FAILED, str(error)))
            return
        held = replace(held, address=address)
        self.replicas.add(held)
        self.report(held, urgent=False)
        self.hint(held.id)

    def _doom(self, held: Held, order: StopOrder) -> None:
        if held.doom == order:
            return
        self.replicas.change(held.id, doom=order)
        if held.id in self._starting:
            self._turns.interrupt(held.id)
        self.hint(held.id)

    def _never_ran(self, held: Held, record: ExitRecord) -> None:
        log.warning("replica_not_started", replica_id=held.id, why=record.message)
        held = replace(held, state=ReplicaState.EXITED, exit=record, log_done=True)
        self.replicas.add(held)
        self.report(held, exit=record, message=record.message)

    async def _turn(self, replica_id: ReplicaId) -> None:
        """Each step looks at the replica as the one before left it; news of it may free others."""
        before = self.replicas.get(replica_id)
        for step in (self._start, self._look, self._renew, self._stop, self._forget):
            if (held := self.replicas.get(replica_id)) is not None:
                await step(held)
        if self.replicas.get(replica_id) is not before:
            self.converge()

    async def _start(self, held: Held) -> None:
        if held.begun or not held.live:
            return
        if held.doom is not None:
            self._never_ran(held, _record(held.doom.reason, _NEVER_STARTED))
            return
        self._renewed_ns[held.id] = self._deadlines_ns[held.id]
        if self._renewed_ns[held.id] <= boottime_ns():
            return  # cut off: it starts if the lease is renewed

        def deadline_ns() -> int:
            return self._deadlines_ns[held.id]

        self._starting.add(held.id)
        try:
            await self.runtime.start(Launch(held.assignment, held.address, held.token, deadline_ns))
        except NoRoom as error:
            log.warning("replica_waits", replica_id=held.id, why=str(error))
        except StartError as error:
            self._never_ran(held, _record(ExitReason.START_FAILED, str(error)))
        except asyncio.CancelledError:
            now = self.replicas.get(held.id)
            if now is None or now.doom is None:
                raise  # the agent ends
        else:
            held = self.replicas.change(held.id, begun=True)
            log.info("replica_started", replica_id=held.id, job_id=held.assignment.job_id)
            self.report(held, urgent=held.assignment.world_size > 1, address=held.address)
        finally:
            self._starting.discard(held.id)

    async def _look(self, held: Held) -> None:
        """Notes what can be seen of it now."""
        if not held.begun or not held.live:
            return
        seen = await self.runtime.sight(held.id)
        if seen is None:
            await self._end(held, _record(ExitReason.KILLED, "its folder on the node was deleted"))
        elif seen.exit is not None:
            await self._end(held, seen.exit)
        elif _STEPS.index(seen.state) > _STEPS.index(held.state):
            held = self.replicas.change(held.id, state=seen.state)
            self.report(held, address=held.address)

    async def _renew(self, held: Held) -> None:
        deadline_ns = self._deadlines_ns.get(held.id, 0)
        is_due = held.begun and held.live and deadline_ns > self._renewed_ns.get(held.id, 0)
        if is_due and await self.runtime.renew(held.id, deadline_ns):
            self._renewed_ns[held.id] = deadline_ns

    async def _stop(self, held: Held) -> None:
        """What does not get through, since the replica is not up yet, is told again later."""
        order = held.doom
        if order is None or not held.begun or held.state in _ENDING:
            return
        if await self.runtime.stop(held.id, order):
            log.info("replica_stopping", replica_id=held.id, reason=order.reason)
            self.report(
                self.replicas.change(held.id, state=ReplicaState.STOPPING), message=order.message
            )

    async def _end(self, held: Held, record: ExitRecord) -> None:
        held = self.replicas.change(held.id, state=ReplicaState.EXITED, exit=record)
        log.info("replica_exited", replica_id=held.id, reason=record.reason, code=record.code)
        size = self.runtime.log_size(held.id)
        self.replicas.change(held.id, log_done=held.log_done or held.shipped >= size)
        self.converge()  # its chips are free now, its last words may take a moment
        await (self.ended or self.report_end)(held.id)

    async def _forget(self, held: Held) -> None:
        if held.settled and not held.live and await self.runtime.forget(held.id):
            self.replicas.remove(held.id)
            self._finished |= {held.id}
            self._deadlines_ns.pop(held.id, None)
            self._renewed_ns.pop(held.id, None)

    def _prune(self) -> None:
        """Drops deadlines of replicas that are neither here nor wanted."""
        wanted = {it.replica_id for it in self.desired.assignments} if self.desired else set()
        for replica_id in list(self._deadlines_ns):
            if replica_id not in wanted and self.replicas.get(replica_id) is None:
                del self._deadlines_ns[replica_id]


def _record(reason: ExitReason, message: str) -> ExitRecord:
    """Of a replica without output: nobody waits for its log."""
    now = datetime.now(UTC)
    return ExitRecord(reason=reason, message=message[:4096], ended_at=now, log_bytes=0)
