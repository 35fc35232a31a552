"""A plan in the making: what each step decides about one gang, and what that leaves for the next.

Every step is a value: it answers with a new draft, or with None where it does not apply. What
fits where, what is preferred and who must make room is decided in the files that this one joins.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime

from scheduler.explain.diagnosis import held_up, impossible, waiting
from scheduler.model import (
    Code,
    Gang,
    GangId,
    Hold,
    JobId,
    Placement,
    Plan,
    Preemption,
    Reason,
    RunningGang,
    Seat,
    Snapshot,
)
from scheduler.place.gang import State, as_running, seat_gang
from scheduler.policies.base import Policy
from scheduler.preempt import Runners, rescue
from scheduler.quota import used_later, used_now
from scheduler.snapshot.overlays import Index, Pool, all_free, free_later, free_now


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class _Deferral:
    """A gang that waits, linked to the one before; drafts share what they have in common."""

    gang_id: GangId
    reason: Reason
    before: _Deferral | None


@dataclass(frozen=True, slots=True)
class Draft:
    """The decisions so far and what they leave.

    `now` is what can be leased at once, `later` what can be had once everything that is being
    released has come back; `now` never has more than `later`.
    """

    snapshot: Snapshot
    policy: Policy
    runners: Runners
    empty: Pool
    now: State
    later: State
    placements: tuple[Placement, ...] = ()
    preemptions: tuple[Preemption, ...] = ()
    holds: tuple[Hold, ...] = ()
    deferred: _Deferral | None = None
    """The last of the deferrals: there may be a hundred thousand, too many to copy each time."""
    victims: tuple[RunningGang, ...] = ()
    seated: tuple[RunningGang, ...] = ()
    """Gangs with seats in this plan, as if they ran."""
    siblings: Mapping[JobId, Mapping[str, int]] = field(default_factory=dict)
    known: dict[object, Reason] = field(default_factory=dict)
    """Shape of a gang → why no such gang fits: what is free only shrinks as the plan goes on."""

    @classmethod
    def of(cls, snapshot: Snapshot, policy: Policy) -> Draft:
        index = Index(snapshot)
        now = free_now(index)
        return cls(
            snapshot=snapshot,
            policy=policy,
            runners=Runners(snapshot.running, now, policy),
            empty=all_free(index),
            now=State(now, used_now(snapshot)),
            later=State(free_later(index, now), used_later(snapshot)),
        )

    def back_off(self, gang: Gang, now: datetime) -> Draft | None:
        """A gang whose last attempt failed waits for its time."""
        if gang.not_before is None or gang.not_before <= now:
            return None
        return self._deferred(gang, Reason(Code.BACKING_OFF, until=gang.not_before))

    def recall(self, gang: Gang) -> Draft | None:
        """Such a gang was found not to fit a moment ago: no need to look again."""
        reason = self.known.get(_shape(gang))
        return None if reason is None else self._deferred(gang, reason)

    def place(self, gang: Gang) -> Draft | None:
        """Starts the gang if all of it fits now."""
        seats = seat_gang(gang, self.now, self._siblings(gang))
        if seats is None:
            return None
        draft = replace(
            self,
            now=self.now.take(gang.queue, seats),
            later=self.later.take(gang.queue, seats),
            placements=(*self.placements, Placement(gang.id, gang.job_id, seats, gang.version)),
        )
        return draft._seated(gang, seats)

    def refuse(self, gang: Gang) -> Draft | None:
        """A gang that could not start here even if nothing ran."""
        reason = impossible(gang, self.empty, self.now.usage)
        return None if reason is None else self._remembered(gang, reason)

    def wait_for_release(self, gang: Gang) -> Draft | None:
        """Keeps seats if what is being released already will do."""
        seats = seat_gang(gang, self.later, self._siblings(gang))
        if seats is None:
            return None
        leaving = [it for it in (*self.snapshot.running, *self.victims) if it.releasing]
        reason = held_up(Code.WAITING_FOR_RELEASE, gang, self.now, self.later, leaving)
        return self._held(gang, seats, self.later, reason)

    def preempt_for(self, gang: Gang) -> Draft | None:
        """Makes room at the cost of lower priorities, if that lets the whole gang start."""
        if not self.policy.preempts:
            return None
        gone = frozenset(it.id for it in self.victims)
        found = rescue(gang, self.later, self.runners, gone)
        if found is None:
            return None
        self.known.clear()  # the victims may hold more than this gang takes
        victims = tuple(replace(it, releasing=True) for it in found.victims)
        reason = held_up(Code.PREEMPTING, gang, self.now, found.state, victims)
        draft = replace(
            self,
            preemptions=(*self.preemptions, *(_preemption(it, gang) for it in victims)),
            victims=(*self.victims, *victims),
        )
        return draft._held(gang, found.seats, found.state, reason)

    def defer(self, gang: Gang) -> Draft:
        """Notes what is in the way."""
        gone = {it.id for it in self.victims}
        running = [it for it in self.snapshot.running if it.id not in gone and not it.releasing]
        holders = (*running, *self.seated)
        return self._remembered(gang, waiting(gang, self.now, self.later, self.empty, holders))

    def finish(self) -> Plan:
        deferrals = {it.gang_id: it.reason for it in reversed(list(_chain(self.deferred)))}
        return Plan(self.placements, self.preemptions, deferrals, self.holds)

    def _siblings(self, gang: Gang) -> Mapping[str, int]:
        """Chip type → gangs of the same job there, those of this plan included."""
        return self.siblings.get(gang.job_id, gang.sibling_types)

    def _held(self, gang: Gang, seats: tuple[Seat, ...], later: State, reason: Reason) -> Draft:
        """Takes the seats from what comes later; what is free now stays free only beyond them."""
        after = later.take(gang.queue, seats)
        now = State(
            self.now.pool.within(after.pool, {seat.node_id for seat in seats}),
            self.now.usage.at_least(after.usage, gang.queue),
        )
        draft = replace(self, now=now, later=after, holds=(*self.holds, Hold(gang.id, seats)))
        return draft._deferred(gang, reason)._seated(gang, seats)

    def _deferred(self, gang: Gang, reason: Reason) -> Draft:
        return replace(self, deferred=_Deferral(gang.id, reason, self.deferred))

    def _remembered(self, gang: Gang, reason: Reason) -> Draft:
        self.known[_shape(gang)] = reason
        return self._deferred(gang, reason)

    def _seated(self, gang: Gang, seats: tuple[Seat, ...]) -> Draft:
        draft = replace(self, seated=(*self.seated, as_running(gang, seats)))
        if not gang.spread:
            return draft
        counts = Counter(self._siblings(gang))
        counts.update(self.empty.index.charge(seats).keys())
        return replace(draft, siblings={**self.siblings, gang.job_id: counts})


def _chain(last: _Deferral | None) -> Iterator[_Deferral]:
    while last is not None:
        yield last
        last = last.before


def _shape(gang: Gang) -> object:
    """Gangs of one shape fit or do not fit alike. What they prefer is no part of it."""
    return (
        gang.request, gang.least, gang.most, gang.mix, gang.type, gang.queue, gang.priority,
    )  # fmt: skip


def _preemption(victim: RunningGang, gang: Gang) -> Preemption:
    against = f"{gang.priority} against {victim.priority}"
    reason = f"makes room for a job of higher priority of another project: {against}"
    if gang.project == victim.project:
        reason = f"makes room for {gang.job_name}, whose priority is {against}"
    return Preemption(victim.id, gang.id, reason, victim.version)
