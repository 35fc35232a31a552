"""The pipeline: gangs in order, each placed, kept seats for, or deferred with the code of what it
waits for. Who waits for what in detail is worked out by `scheduler.explain`, when somebody asks.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import datetime

import numpy as np

from scheduler.model import (
    WHOLE,
    Action,
    Code,
    Gang,
    GangId,
    Hold,
    JobId,
    JobType,
    Outranked,
    Place,
    Plan,
    Preempt,
    RunningGang,
    Seat,
    Snapshot,
)
from scheduler.order import order
from scheduler.place.feasibility import Survey, eligible
from scheduler.place.gang import (
    Supply,
    as_running,
    best_seats,
    could_start,
    empty_supply,
    seat_gang,
)
from scheduler.place.obstacle import fits_but_for_its_host, host_code, state_code
from scheduler.place.outlook import Outlook
from scheduler.policies.base import Policy
from scheduler.preempt import Rescue, Runners, rescue
from scheduler.quota import used_later, used_now
from scheduler.snapshot.columns import Layout, columns_of

TOO_SMALL = frozenset({Code.TOO_MANY_CHIPS, Code.HOST_CORES, Code.HOST_MEMORY})


def plan(snapshot: Snapshot, policy: Policy, now: datetime) -> Plan:
    """One cycle's decisions. Pure: the same snapshot, in whichever order, gives the same plan.

    A gang may be passed by one that comes after it only if it could not start in its place.
    """
    draft = Draft(snapshot, policy, now)
    for gang in order(snapshot.queued, policy, now):
        draft.decide(gang)
    return draft.finish()


class Draft:
    """The decisions so far and what they leave: `now` is what can be leased at once, `later` what
    can be had once everything that is being released has come back; `now` never has more.
    """

    def __init__(self, snapshot: Snapshot, policy: Policy, at: datetime) -> None:
        columns = columns_of(snapshot)
        self.snapshot = snapshot
        self.layout = columns.layout
        self.empty = empty_supply(columns.layout, snapshot.speeds)
        self.now = Supply(columns.now, used_now(snapshot), snapshot.speeds)
        self.later = Supply(columns.later, used_later(snapshot), snapshot.speeds)
        self.victims: list[RunningGang] = []
        self._seated: list[tuple[Gang, tuple[Seat, ...]]] = []
        self._policy = policy
        self._at = at
        self._runners = Runners(snapshot.running, self.layout, policy, at)
        self._outlooks = [Outlook(columns.now), Outlook(columns.later)]
        self._actions: list[Action] = []
        self._deferrals: dict[GangId, Code] = {}
        self._holds: list[Hold] = []
        self._siblings: dict[JobId, Mapping[str, int]] = {}
        self._known: dict[object, Code] = {}
        """Shape of a gang → why no such gang fits: what is free only shrinks."""
        self._states: dict[object, Code | None] = {}
        """Shape of a gang → what keeps it off an empty pool, but for its hosts."""
        self._ceilings: dict[object, Outlook] = {}
        """What there could be for gangs of one project and priority if all gave way that must."""
        self._highest = _highest_holders(snapshot.running, self.layout)

    def finish(self) -> Plan:
        return Plan(tuple(self._actions), self._deferrals, tuple(self._holds))

    def decide(self, gang: Gang) -> Code | None:
        """What the gang waits for; None if it starts."""
        shape = (
            gang.request,
            gang.least,
            gang.most,
            gang.mix,
            gang.type,
            gang.queue,
            gang.priority,
            gang.project,
        )
        code = self._known.get(shape)
        if self.backs_off(gang):
            code = Code.BACKING_OFF
        elif code is None:
            seats = self._search(gang, 0)
            if len(seats) >= gang.least:
                self._place(gang, seats)
                return None
            code = self._wait(gang)
            if code is None:
                code = self._known[shape] = self._obstacle(gang, len(seats))
        self._deferrals[gang.id] = code
        return code

    def backs_off(self, gang: Gang) -> bool:
        """Whether the gang's last attempt failed and its time has not come."""
        return gang.not_before is not None and gang.not_before > self._at

    def siblings(self, gang: Gang) -> Mapping[str, int]:
        """Chip type → gangs of the same job there, those of this plan included."""
        return self._siblings.get(gang.job_id, gang.sibling_types)

    def rescue(self, gang: Gang) -> Rescue | None:
        """Who would have to go, for the whole gang to start."""
        if not self._policy.preempts or not self._runners.any_for(gang):
            return None
        key = (gang.project, gang.priority, gang.type)
        if key not in self._ceilings:
            able = [it.gang for it in self._runners.able(gang)]
            self._ceilings[key] = Outlook(self.later.overlay.give(able))
        if self._ceilings[key].rules_out(gang, eligible(gang, self.layout)):
            return None
        return rescue(gang, self.later, self._runners, frozenset(it.id for it in self.victims))

    def holders(self) -> list[RunningGang]:
        """All that hold something and are not being released; gangs seated here as if they ran."""
        gone = {it.id for it in self.victims}
        running = [it for it in self.snapshot.running if it.id not in gone and not it.releasing]
        return running + [as_running(gang, seats) for gang, seats in self._seated]

    def leaving(self) -> list[RunningGang]:
        return [it for it in (*self.snapshot.running, *self.victims) if it.releasing]

    def _search(self, gang: Gang, which: int) -> tuple[Seat, ...]:
        """Seats in `now` (0) or `later` (1). The outlook is renewed where it promised too much."""
        supply, outlook = (self.now, self.later)[which], self._outlooks[which]
        if outlook.rules_out(gang, eligible(gang, self.layout)):
            return ()
        seats = best_seats(gang, supply, self.siblings(gang))
        if len(seats) < gang.least and outlook.overlay is not supply.overlay:
            renewed = Outlook(supply.overlay)
            self._outlooks[which] = renewed
            if self.later.overlay is supply.overlay:
                self._outlooks[1] = renewed
        return seats

    def _place(self, gang: Gang, seats: tuple[Seat, ...]) -> None:
        alike = self.later.overlay is self.now.overlay
        self.now = self.now.take(gang.queue, seats)
        self.later = self.later.take(gang.queue, seats, self.now.overlay if alike else None)
        self._actions.append(Place(gang.id, gang.job_id, seats, gang.version))
        self._seat(gang, seats)

    def _wait(self, gang: Gang) -> Code | None:
        """Keeps seats if what is being released already will do, or else makes room at the cost of
        lower priorities, if that lets the whole gang start.
        """
        if self.later != self.now:
            seats = self._search(gang, 1)
            if len(seats) >= gang.least:
                self._hold(gang, seats, self.later)
                return Code.WAITING_FOR_RELEASE
        found = self.rescue(gang)
        if found is None:
            return None
        self._known.clear()  # the victims may hold more than this gang takes
        self._ceilings.clear()
        for victim in found.victims:
            why = Outranked(gang.job_name, gang.priority, victim.priority)
            self._actions.append(Preempt(victim.id, gang.id, why, victim.version))
            self.victims.append(replace(victim, releasing=True))
        self._hold(gang, found.seats, found.supply)
        self._outlooks[1] = Outlook(self.later.overlay)
        return Code.PREEMPTING

    def _hold(self, gang: Gang, seats: tuple[Seat, ...], later: Supply) -> None:
        """Takes the seats from what comes later; what is free now stays free only beyond them."""
        self.later = later.take(gang.queue, seats)
        self.now = replace(
            self.now,
            overlay=self.now.overlay.within(self.later.overlay),
            usage=self.now.usage.at_least(self.later.usage, gang.queue),
        )
        self._holds.append(Hold(gang.id, seats))
        self._seat(gang, seats)

    def _seat(self, gang: Gang, seats: tuple[Seat, ...]) -> None:
        self._seated.append((gang, seats))
        for chip_type in (None, *(charge := self.layout.charge(seats))):
            self._highest[chip_type] = max(gang.priority, self._highest.get(chip_type, -1))
        if gang.spread:
            counts = Counter(self.siblings(gang))
            counts.update(charge.keys())
            self._siblings[gang.job_id] = counts

    def _obstacle(self, gang: Gang, num_seats: int) -> Code:
        """The constraint that binds, from what the searches saw."""
        if not could_start(gang, self.empty):
            return self._too_small(gang)
        usage = self.later.usage
        limited = replace(self.empty, usage=usage) if gang.queue in usage.limits else None
        if limited is not None and seat_gang(gang, limited) is None:
            return Code.QUEUE_LIMIT
        places = eligible(gang, self.layout)
        if gang.least > 1 and not num_seats:  # all of it may have been ruled out without a search
            ruled_out = self._outlooks[0].rules_out(gang, places, members=1)
            num_seats = 0 if ruled_out else len(best_seats(gang, self.now, self.siblings(gang)))
        if gang.least > 1 and num_seats:
            return Code.GANG_PARTLY_FITS
        if any(self._highest.get(it, -1) > gang.priority for it in places):
            return Code.BEHIND_HIGHER_PRIORITY
        return self._scarce(gang)

    def _too_small(self, gang: Gang) -> Code:
        """What keeps the gang off an empty pool."""
        if not self.snapshot.nodes:
            return Code.NO_NODES
        code = self._state_code(gang) or host_code(gang, self.empty)
        partly = gang.type is JobType.TASK and code in TOO_SMALL
        if partly and best_seats(gang, self.empty, {}):
            return Code.GANG_PARTLY_FITS
        return code

    def _state_code(self, gang: Gang) -> Code | None:
        request = gang.request
        if request.chips:  # then what it takes of its host is not looked at
            request = replace(request, cores_milli=None, host_memory_bytes=None)
        key = (request, gang.least, gang.mix, gang.type)
        if key not in self._states:
            survey = Survey(gang, self.layout, self.snapshot.vendors)
            self._states[key] = state_code(gang, self.layout, survey)
        return self._states[key]

    def _scarce(self, gang: Gang) -> Code:
        """What there is too little of beside what runs: chips, or what they need of the host."""
        outlook, places = self._outlooks[1], eligible(gang, self.layout)
        if not gang.request.chips:
            ruled_out = outlook.rules_out(gang, places)
            return Code.HOST_CORES if ruled_out else host_code(gang, self.later)
        chips_short = outlook.rules_out(gang, places, with_host=False)
        if not chips_short and fits_but_for_its_host(gang, self.later):
            return host_code(gang, self.later)
        parts = gang.request.milli < WHOLE and all(
            outlook.peak(it).least for it in places.values() if len(it.rows)
        )
        return Code.SHARE if parts else Code.BUSY


def _highest_holders(running: Iterable[RunningGang], layout: Layout) -> dict[str | None, int]:
    """Chip type → the highest priority that holds some of it; None: of all that run."""
    staying = [it for it in running if not it.releasing]
    holders, rows = layout.held(staying)
    priority = np.array([it.priority for it in staying], dtype=np.int64)
    of_types = np.full(len(layout.types), -1)
    np.maximum.at(of_types, layout.type_of_row[rows], priority[holders])
    highest: dict[str | None, int] = {None: max(priority.tolist(), default=-1)}
    highest.update(zip(layout.types, of_types.tolist(), strict=True))
    return highest
