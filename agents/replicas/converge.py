"""Decides what an agent does next: what the control plane wants × what is here → actions.

Pure. Carrying the actions out, and trying again later, is `controller.py`'s.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from penstock.api.assignments import Assignment, AssignmentList
from penstock.api.ids import ReplicaId
from penstock.api.states import ExitReason, ReplicaState

WHOLE_CHIP_MILLI: Final = 1000
NO_LEASE_GRACE_S: Final = 2.0
"""For replicas that the control plane no longer counts: their chips may be promised already."""


@dataclass(frozen=True, slots=True)
class Local:
    """A replica that this node has, live or ended. `settled`: nothing of it is left to report."""

    replica_id: ReplicaId
    epoch: int
    state: ReplicaState
    chips: tuple[tuple[str, int], ...] = ()
    adopted: bool = True
    settled: bool = False

    @property
    def live(self) -> bool:
        return self.state is not ReplicaState.EXITED


@dataclass(frozen=True, slots=True)
class Circumstances:
    """What else bears on the decision.

    `deadlines_ns`: lease deadlines by replica, on the clock of `now_ns`. `finished`: replicas
    that ended here and were forgotten. `foreign`: chips that a process of nobody's replica uses.
    """

    now_ns: int
    deadlines_ns: Mapping[ReplicaId, int] = field(default_factory=dict)
    finished: frozenset[str] = frozenset()
    foreign: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Start:
    assignment: Assignment


@dataclass(frozen=True, slots=True)
class Stop:
    replica_id: ReplicaId
    reason: ExitReason
    grace_s: float
    message: str


@dataclass(frozen=True, slots=True)
class Adopt:
    """An earlier run of the agent started it, and it is still wanted."""

    replica_id: ReplicaId


@dataclass(frozen=True, slots=True)
class Forget:
    """Its end was reported and its log shipped: nothing of it needs to be kept."""

    replica_id: ReplicaId


@dataclass(frozen=True, slots=True)
class Decline:
    """It is to stop and never started here: that is reported as its end."""

    assignment: Assignment


@dataclass(frozen=True, slots=True)
class Wait:
    """It cannot start yet; `why` is for people."""

    assignment: Assignment
    why: str


Action = Start | Stop | Adopt | Forget | Decline | Wait


def newest(current: AssignmentList | None, received: AssignmentList) -> AssignmentList:
    """The list to follow: a late answer never takes the place of a newer one."""
    if current is not None and received.generation < current.generation:
        return current
    return received


def converge(
    desired: AssignmentList, local: Sequence[Local], circumstances: Circumstances
) -> tuple[Action, ...]:
    """What to do now, in order: ends first, so that what they free can be used."""
    wanted = {it.replica_id: it for it in desired.assignments}
    here = {it.replica_id: it for it in local}
    ends = [action for it in local for action in _about(it, wanted.get(it.replica_id))]
    new = [it for it in desired.assignments if it.replica_id not in here]
    return (*ends, *_begin(new, local, circumstances))


def _about(local: Local, wanted: Assignment | None) -> Iterator[Action]:
    if not local.live:
        if local.settled:
            yield Forget(local.replica_id)
    elif wanted is None or wanted.epoch != local.epoch:
        if local.state is not ReplicaState.STOPPING:
            message = "the control plane no longer counts on it"
            yield Stop(local.replica_id, ExitReason.STOPPED, NO_LEASE_GRACE_S, message)
    else:
        if not local.adopted:
            yield Adopt(local.replica_id)
        if wanted.desired == "stop" and local.state is not ReplicaState.STOPPING:
            reason = wanted.stop_reason or ExitReason.STOPPED
            message = "the control plane asked it to stop"
            yield Stop(local.replica_id, reason, wanted.stop_grace_s, message)


def _begin(
    new: Sequence[Assignment], local: Sequence[Local], circumstances: Circumstances
) -> Iterator[Action]:
    held: dict[str, int] = {}
    for it in local:
        if it.live:
            _add(held, it.chips)
    for assignment in new:
        if assignment.replica_id in circumstances.finished:
            continue
        if assignment.desired == "stop":
            yield Decline(assignment)
        elif why := _obstacle(assignment, held, circumstances):
            yield Wait(assignment, why)
        else:
            _add(held, chips_of(assignment))
            yield Start(assignment)


def chips_of(assignment: Assignment) -> tuple[tuple[str, int], ...]:
    """(chip, thousandths) of everything that the replica holds."""
    return tuple((chip.chip_id, chip.milli) for chip in assignment.chips)


def _obstacle(
    assignment: Assignment, held: Mapping[str, int], circumstances: Circumstances
) -> str | None:
    if assignment.rank > 0 and assignment.world_size > 1 and assignment.master is None:
        return "it waits for the address of rank 0"
    for chip, milli in chips_of(assignment):
        if held.get(chip, 0) + milli > WHOLE_CHIP_MILLI:
            return f"chip {chip} is still held by another replica"
        if chip in circumstances.foreign:
            return f"chip {chip} is in use by a process that is not a replica's"
    deadline = circumstances.deadlines_ns.get(assignment.replica_id)
    if deadline is None or deadline <= circumstances.now_ns:
        return "it has no lease that lasts"
    return None


def _add(held: dict[str, int], chips: tuple[tuple[str, int], ...]) -> None:
    for chip, milli in chips:
        held[chip] = held.get(chip, 0) + milli
