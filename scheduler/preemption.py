"""Which running gangs make room for one of higher priority: only if the whole gang then fits,
and so that as little work as can be is lost.

Finding the cheapest set is a covering problem (NP-hard); here are three greedy answers, each
reduced until no victim of it could be spared, of which the cheapest counts: the cheapest single
victim, the cheapest per chip over the whole pool, and the cheapest on each single node.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from scheduler.gang import State, seat_gang
from scheduler.model import WHOLE, Gang, RunningGang, Seat
from scheduler.policies.base import Policy

MOST_TRIALS: Final = 64
"""Single victims, and single nodes, that are tried; the cheapest come first."""


@dataclass(frozen=True, slots=True)
class Rescue:
    """Victims, the seats that they make possible, and what can be had after both."""

    victims: tuple[RunningGang, ...]
    seats: tuple[Seat, ...]
    state: State


def rescue(
    gang: Gang, later: State, running: Iterable[RunningGang], policy: Policy
) -> Rescue | None:
    """The cheapest victims found whose end lets the whole gang start, once `later` has come."""
    able = _candidates(gang, later, running, policy)
    if not able or _seats(gang, later, able) is None:
        return None
    sets = [_cover(gang, later, able, policy), *_singles(gang, later, able, policy)]
    sets += _on_one_node(gang, later, able, policy)
    victims = min(sets, key=lambda found: (_total(found, policy), [it.id for it in found]))
    seats = _seats(gang, later, victims)
    assert seats is not None, "every set was found to make the gang fit"
    return Rescue(victims, seats, release(later, victims))


def release(state: State, victims: Iterable[RunningGang]) -> State:
    """What can be had once the victims have ended."""
    gangs, usage = tuple(victims), state.usage
    for victim in gangs:
        if victim.queue in usage.limits:
            usage = usage.add(victim.queue, state.pool.index.by_type(victim.chips.items()), -1)
    return State(state.pool.give(gangs), usage)


def cost(victim: RunningGang, policy: Policy) -> float:
    """Chip-seconds that the victim's end throws away; a gang without chips counts as one chip."""
    chips = max(WHOLE, sum(victim.chips.values())) / WHOLE
    return chips * (victim.lost_work_s + policy.restart_cost_s)


def _candidates(
    gang: Gang, later: State, running: Iterable[RunningGang], policy: Policy
) -> tuple[RunningGang, ...]:
    """Preemptible gangs of strictly lower priority that hold something of use, cheapest per
    chip first.
    """
    able = [
        it
        for it in running
        if it.preemptible
        and not it.releasing
        and it.priority < gang.priority
        and later.pool.nodes_of(it)
    ]

    def key(it: RunningGang) -> tuple[float, int, str]:
        return (cost(it, policy) / max(WHOLE, sum(it.chips.values())), it.priority, it.id)

    return tuple(sorted(able, key=key))


def _cover(
    gang: Gang, later: State, able: Sequence[RunningGang], policy: Policy
) -> tuple[RunningGang, ...]:
    """The shortest run of candidates that suffices, without those that can be spared."""
    low, high = 1, len(able)
    while low < high:
        middle = (low + high) // 2
        if _seats(gang, later, able[:middle]) is None:
            low = middle + 1
        else:
            high = middle
    return _spare(gang, later, able[:high], policy)


def _spare(
    gang: Gang, later: State, victims: Sequence[RunningGang], policy: Policy
) -> tuple[RunningGang, ...]:
    """Drops victims that are not needed: those away from the seats together, then one by one."""
    seats = _seats(gang, later, victims) or ()
    nodes = {seat.node_id for seat in seats}
    near = tuple(it for it in victims if nodes & later.pool.nodes_of(it))
    kept = near if _seats(gang, later, near) is not None else tuple(victims)
    for victim in sorted(kept, key=lambda it: (-cost(it, policy), it.id)):
        fewer = tuple(it for it in kept if it.id != victim.id)
        if _seats(gang, later, fewer) is not None:
            kept = fewer
    return kept


def _singles(
    gang: Gang, later: State, able: Sequence[RunningGang], policy: Policy
) -> list[tuple[RunningGang, ...]]:
    """The cheapest victim that suffices alone."""
    cheapest = sorted(able, key=lambda it: (cost(it, policy), it.priority, it.id))
    for victim in cheapest[:MOST_TRIALS]:
        if _seats(gang, later, (victim,)) is not None:
            return [(victim,)]
    return []


def _on_one_node(
    gang: Gang, later: State, able: Sequence[RunningGang], policy: Policy
) -> list[tuple[RunningGang, ...]]:
    """For a single member: per node, the victims there, where they suffice."""
    if gang.least > 1:
        return []
    there: dict[str, list[RunningGang]] = {}
    for victim in able:
        for node in later.pool.nodes_of(victim):
            there.setdefault(node, []).append(victim)
    asked = gang.request.chips * gang.request.milli
    bids = sorted((_bid(victims, asked, policy), node) for node, victims in there.items())
    return [
        _spare(gang, later, there[node], policy)
        for _, node in bids[:MOST_TRIALS]
        if _seats(gang, later, there[node]) is not None
    ]


def _bid(victims: Sequence[RunningGang], asked_milli: int, policy: Policy) -> float:
    """About what a node's victims cost that hold as much as is asked; for ordering trials."""
    total, freed = 0.0, 0
    for victim in victims:
        total += cost(victim, policy)
        freed += sum(victim.chips.values())
        if freed >= asked_milli:
            break
    return total


def _seats(gang: Gang, later: State, victims: Sequence[RunningGang]) -> tuple[Seat, ...] | None:
    return seat_gang(gang, release(later, victims))


def _total(victims: Sequence[RunningGang], policy: Policy) -> float:
    return sum(cost(victim, policy) for victim in victims)
