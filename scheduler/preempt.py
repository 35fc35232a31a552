"""Which running gangs make room for one of higher priority: only if the whole gang then fits,
and so that as little work as can be is lost.

Finding the cheapest set is a covering problem (NP-hard). Among few candidates every set is
tried. Among many there are greedy answers, each reduced until no victim of it could be spared,
of which the cheapest counts: the cheapest single victim, for a single member the cheapest on one
node, and the cheapest per chip over the whole pool.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import chain, combinations, islice
from typing import Final

from scheduler.model import WHOLE, Gang, GangId, NodeId, RunningGang, Seat
from scheduler.place.gang import State, seat_gang
from scheduler.policies.base import Policy
from scheduler.snapshot.overlays import Pool

MOST_TRIALS: Final = 64
"""Single victims, and single nodes, that are tried; the cheapest come first."""
MOST_EXACT: Final = 8
"""Candidates among which every set is tried."""


@dataclass(frozen=True, slots=True)
class Rescue:
    """Victims, the seats that they make possible, and what can be had after both."""

    victims: tuple[RunningGang, ...]
    seats: tuple[Seat, ...]
    state: State


@dataclass(frozen=True, slots=True)
class Victim:
    """A gang that may have to go. `cost` is the chip-seconds that its end throws away; on host
    cores alone it counts as one chip.
    """

    gang: RunningGang
    chips: float
    cost: float
    nodes: frozenset[NodeId]


class Runners:
    """The preemptible gangs by what their end would cost, ranked once a cycle."""

    def __init__(self, running: Iterable[RunningGang], pool: Pool, policy: Policy) -> None:
        self._running = running
        self._pool = pool
        self._policy = policy

    @cached_property
    def by_chip(self) -> tuple[Victim, ...]:
        """Cheapest per chip first."""
        able = [self._victim(it) for it in self._running if it.preemptible and not it.releasing]
        return tuple(
            sorted(able, key=lambda it: (it.cost / it.chips, it.gang.priority, it.gang.id))
        )

    @cached_property
    def by_cost(self) -> tuple[Victim, ...]:
        """Cheapest first."""
        return tuple(sorted(self.by_chip, key=lambda it: (it.cost, it.gang.priority, it.gang.id)))

    @cached_property
    def by_node(self) -> Mapping[NodeId, Sequence[Victim]]:
        """On each node, cheapest per chip first."""
        found: dict[NodeId, list[Victim]] = {}
        for victim in self.by_chip:
            for node in victim.nodes:
                found.setdefault(node, []).append(victim)
        return dict(sorted(found.items()))

    def _victim(self, gang: RunningGang) -> Victim:
        chips = max(WHOLE, sum(gang.chips.values())) / WHOLE
        cost = chips * (gang.lost_work_s + self._policy.restart_cost_s)
        return Victim(gang, chips, cost, frozenset(self._pool.nodes_of(gang)))


def rescue(gang: Gang, later: State, runners: Runners, gone: frozenset[GangId]) -> Rescue | None:
    """The cheapest victims found whose end lets the whole gang start, once `later` has come.

    Only gangs of strictly lower priority are taken, and none of those that are `gone` already.
    """
    search = _Search(gang, later, gone)
    few = tuple(islice(search.able(runners.by_chip), MOST_EXACT + 1))
    victims = search.exact(few) if len(few) <= MOST_EXACT else search.greedy(runners)
    if victims is None:
        return None
    seats = search.seats(victims)
    assert seats is not None, "every set was found to make the gang fit"
    gangs = tuple(it.gang for it in victims)
    return Rescue(gangs, seats, release(later, gangs))


def release(state: State, gangs: Sequence[RunningGang]) -> State:
    """What can be had once the gangs have ended."""
    usage = state.usage
    for gang in gangs:
        if gang.queue in usage.limits:
            usage = usage.add(gang.queue, state.pool.index.by_type(gang.chips.items()), -1)
    return State(state.pool.give(gangs), usage)


@dataclass(frozen=True, slots=True)
class _Search:
    """One gang in need of room."""

    gang: Gang
    later: State
    gone: frozenset[GangId]

    def seats(self, victims: Sequence[Victim]) -> tuple[Seat, ...] | None:
        """The gang's seats once these have ended."""
        return seat_gang(self.gang, release(self.later, [it.gang for it in victims]))

    def exact(self, able: Sequence[Victim]) -> Sequence[Victim] | None:
        """The cheapest set of all that suffice."""
        if not able or self.seats(able) is None:
            return None
        sets = chain.from_iterable(combinations(able, size + 1) for size in range(len(able)))
        return next(it for it in sorted(sets, key=_rank) if self.seats(it) is not None)

    def greedy(self, runners: Runners) -> Sequence[Victim] | None:
        """The cheapest of several sets that suffice."""
        found = [self.single(runners.by_cost)]
        if self.gang.least == 1:
            found.append(self.on_one_node(runners.by_node))
        if self.gang.least > 1 or not any(found):
            found.append(self.cover(runners.by_chip))
        return min((it for it in found if it), key=_rank, default=None)

    def single(self, by_cost: Iterable[Victim]) -> Sequence[Victim] | None:
        """The cheapest victim that suffices alone."""
        for victim in islice(self.able(by_cost), MOST_TRIALS):
            if self.seats((victim,)) is not None:
                return (victim,)
        return None

    def on_one_node(self, by_node: Mapping[NodeId, Sequence[Victim]]) -> Sequence[Victim] | None:
        """The cheapest victims on one node. Nodes whose lower bound is no better than what was
        found are not tried.
        """
        there = {node: tuple(self.able(victims)) for node, victims in by_node.items()}
        bounds = sorted((self._bound(node, it), node) for node, it in there.items() if it)
        best: Sequence[Victim] | None = None
        for bound, node in bounds[:MOST_TRIALS]:
            if best is not None and bound >= _cost(best):
                break
            if self.seats(there[node]) is not None:
                fewer = self._spare(there[node])
                best = fewer if best is None or _cost(fewer) < _cost(best) else best
        return best

    def cover(self, by_chip: Iterable[Victim]) -> Sequence[Victim] | None:
        """The shortest run of candidates that suffices, without those that can be spared.

        Gallops: the run doubles until it suffices, then its end is found by halving, so that
        every candidate is released about twice.
        """
        able = tuple(self.able(by_chip))
        state, done, step, growing = self.later, 0, 1, True
        while step:
            chunk = able[done : done + step]
            grown = release(state, [it.gang for it in chunk])
            if seat_gang(self.gang, grown) is not None:
                growing = False
            elif growing and done + step >= len(able):
                return None
            else:
                state, done = grown, done + len(chunk)
            step = step * 2 if growing else step // 2
        return self._spare(able[: done + 1])

    def able(self, victims: Iterable[Victim]) -> Iterator[Victim]:
        for it in victims:
            if it.gang.priority < self.gang.priority and it.gang.id not in self.gone:
                yield it

    def _bound(self, node: NodeId, victims: Sequence[Victim]) -> float:
        """What enough chips here cost at least: the cheapest per chip, the last in part."""
        pool, request = self.later.pool, self.gang.request
        room = pool.rooms[pool.index.site_of[node]]
        missing, total = (request.chips * request.milli - sum(room.chips)) / WHOLE, 0.0
        for victim in victims:
            if missing <= 0:
                break
            total += victim.cost * min(1.0, missing / victim.chips)
            missing -= victim.chips
        return total

    def _spare(self, victims: Sequence[Victim]) -> Sequence[Victim]:
        """Drops victims that are not needed: those away from the seats together, then one by
        one, the costliest first.
        """
        nodes = {seat.node_id for seat in self.seats(victims) or ()}
        near = [it for it in victims if nodes & it.nodes]
        kept = near if self.seats(near) is not None else list(victims)
        for victim in sorted(kept, key=lambda it: (-it.cost, it.gang.id)):
            fewer = [it for it in kept if it is not victim]
            if self.seats(fewer) is not None:
                kept = fewer
        return kept


def _rank(victims: Sequence[Victim]) -> tuple[float, int, list[GangId]]:
    """Least cost first, then fewest victims; ties end in their ids."""
    return (_cost(victims), len(victims), [it.gang.id for it in victims])


def _cost(victims: Iterable[Victim]) -> float:
    return sum(it.cost for it in victims)
