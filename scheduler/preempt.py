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
from datetime import datetime
from functools import cached_property
from itertools import chain, combinations, islice
from typing import Final

from scheduler.model import WHOLE, Gang, GangId, JobType, NodeId, RunningGang, Seat
from scheduler.place.gang import Supply, seat_gang
from scheduler.policies.base import Policy
from scheduler.snapshot.columns import Layout

MOST_TRIALS: Final = 64
"""Single victims, and single nodes, that are tried; the cheapest come first."""
MOST_EXACT: Final = 8
"""Candidates among which every set is tried."""


@dataclass(frozen=True, slots=True)
class Rescue:
    """Victims, the seats that they make possible, and what can be had once they have ended."""

    victims: tuple[RunningGang, ...]
    seats: tuple[Seat, ...]
    supply: Supply


@dataclass(frozen=True, slots=True)
class Victim:
    """A gang that may have to go. `cost` is the chip-seconds that its end throws away; on host
    cores alone it counts as one chip.
    """

    gang: RunningGang
    chips: float
    cost: float
    nodes: frozenset[NodeId]


def may_preempt(gang: Gang, running: RunningGang) -> bool:
    """The borders of preemption: strictly lower priority of the own project only, and batch never
    stops serving. Quota that is lent will be taken back from its borrowers here.
    """
    return (
        running.preemptible
        and not running.releasing
        and running.project == gang.project
        and running.priority < gang.priority
        and (gang.type is JobType.SERVE or running.type is not JobType.SERVE)
    )


class Runners:
    """The gangs that might make room, of each project, by what their end would cost."""

    def __init__(
        self, running: Iterable[RunningGang], layout: Layout, policy: Policy, at: datetime
    ) -> None:
        self._layout = layout
        self._policy = policy
        self._at = at
        self._of: dict[str, list[RunningGang]] = {}
        self._ranked: dict[str, Ranked] = {}
        for it in running:
            if it.preemptible and not it.releasing:
                self._of.setdefault(it.project, []).append(it)
        self._lowest = {name: min(it.priority for it in them) for name, them in self._of.items()}

    def any_for(self, gang: Gang) -> bool:
        """Whether its project runs anything of lower priority."""
        return self._lowest.get(gang.project, gang.priority) < gang.priority

    def of(self, project: str) -> Ranked:
        if project not in self._ranked:
            victims = [self._victim(it) for it in self._of.get(project, ())]
            self._ranked[project] = Ranked(victims)
        return self._ranked[project]

    def able(self, gang: Gang) -> list[Victim]:
        """All that may have to go for the gang, cheapest per chip first."""
        return [it for it in self.of(gang.project).by_chip if may_preempt(gang, it.gang)]

    def _victim(self, gang: RunningGang) -> Victim:
        chips = max(WHOLE, sum(gang.chips.values())) / WHOLE
        lost_work_s = 0.0 if gang.saved_at is None else (self._at - gang.saved_at).total_seconds()
        cost = chips * (lost_work_s + self._policy.restart_cost_s)
        return Victim(gang, chips, cost, frozenset(self._layout.nodes_of(gang)))


class Ranked:
    """One project's victims to be, ranked once a cycle."""

    def __init__(self, victims: Iterable[Victim]) -> None:
        self.by_chip = tuple(
            sorted(victims, key=lambda it: (it.cost / it.chips, it.gang.priority, it.gang.id))
        )
        """Cheapest per chip first."""

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


def rescue(gang: Gang, later: Supply, runners: Runners, gone: frozenset[GangId]) -> Rescue | None:
    """The cheapest victims found whose end lets the whole gang start, once `later` has come.

    Only gangs that `may_preempt` allows are taken, and none of those that are `gone` already.
    """
    search, ranked = _Search(gang, later, gone), runners.of(gang.project)
    few = tuple(islice(search.able(ranked.by_chip), MOST_EXACT + 1))
    victims = search.exact(few) if len(few) <= MOST_EXACT else search.greedy(ranked)
    if victims is None:
        return None
    seats = search.seats(victims)
    assert seats is not None, "every set was found to make the gang fit"
    gangs = tuple(it.gang for it in victims)
    return Rescue(gangs, seats, later.give(gangs))


@dataclass(frozen=True, slots=True)
class _Search:
    """One gang in need of room."""

    gang: Gang
    later: Supply
    gone: frozenset[GangId]

    def seats(self, victims: Sequence[Victim]) -> tuple[Seat, ...] | None:
        """The gang's seats once these have ended."""
        return seat_gang(self.gang, self.later.give(it.gang for it in victims))

    def exact(self, able: Sequence[Victim]) -> Sequence[Victim] | None:
        """The cheapest set of all that suffice."""
        if not able or self.seats(able) is None:
            return None
        sets = chain.from_iterable(combinations(able, size + 1) for size in range(len(able)))
        return next(it for it in sorted(sets, key=_rank) if self.seats(it) is not None)

    def greedy(self, ranked: Ranked) -> Sequence[Victim] | None:
        """The cheapest of several sets that suffice."""
        found = [self.single(ranked.by_cost)]
        if self.gang.least == 1:
            found.append(self.on_one_node(ranked.by_node))
        if self.gang.least > 1 or not any(found):
            found.append(self.cover(ranked.by_chip))
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
        supply, done, step, growing = self.later, 0, 1, True
        while step:
            chunk = able[done : done + step]
            grown = supply.give(it.gang for it in chunk)
            if seat_gang(self.gang, grown) is not None:
                growing = False
            elif growing and done + step >= len(able):
                return None
            else:
                supply, done = grown, done + len(chunk)
            step = step * 2 if growing else step // 2
        return self._spare(able[: done + 1])

    def able(self, victims: Iterable[Victim]) -> Iterator[Victim]:
        for it in victims:
            if it.gang.id not in self.gone and may_preempt(self.gang, it.gang):
                yield it

    def _bound(self, node: NodeId, victims: Sequence[Victim]) -> float:
        """What enough chips here cost at least: the cheapest per chip, the last in part."""
        request, layout = self.gang.request, self.later.layout
        room = self.later.overlay.room(layout.site_of[node])
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
