"""What holds of every plan on every pool; `test_laws` and the simulation tier try it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from random import Random
from typing import Final, TypeVar

from scheduler.explain import explain
from scheduler.invariants import check
from scheduler.model import ChipId, Plan, Snapshot
from scheduler.place.gang import as_running
from scheduler.plan import plan
from scheduler.policies.priority_age import PRIORITY_AGE
from tests.builders import NOON
from tests.unit.scheduler.pools import settled

ItemT = TypeVar("ItemT")


def no_plan_breaks_an_invariant(snapshot: Snapshot) -> None:
    assert check(snapshot, _plan(snapshot)) == ()


def the_order_of_the_input_changes_nothing(snapshot: Snapshot) -> None:
    made = _plan(snapshot)
    for seed in range(2):
        assert _plan(_shuffled(snapshot, Random(seed))) == made


def thousandths_of_a_chip_are_never_given_twice(snapshot: Snapshot) -> None:
    taken: Counter[ChipId] = Counter()
    for placement in _plan(snapshot).placements:
        for seat in placement.seats:
            taken.update(seat.chips)
    for gang in snapshot.running:
        taken.update(gang.chips)
    assert all(milli <= 1000 for milli in taken.values())


def only_strictly_lower_priorities_are_preempted(snapshot: Snapshot) -> None:
    queued = {gang.id: gang.priority for gang in snapshot.queued}
    running = {gang.id: gang.priority for gang in snapshot.running}
    for preemption in _plan(snapshot).preemptions:
        assert running[preemption.victim_id] < queued[preemption.for_gang_id]


def a_gang_that_seats_are_kept_for_starts_once_the_releases_came(snapshot: Snapshot) -> None:
    """The first such gang, beside what was placed and every gang that waits before it."""
    made = _plan(snapshot)
    if not made.holds:
        return
    gangs = {gang.id: gang for gang in snapshot.queued}
    first = gangs[made.holds[0].gang_id]
    key = PRIORITY_AGE.order_key(first, NOON)
    before = [it for it in snapshot.queued if PRIORITY_AGE.order_key(it, NOON) <= key]
    started = [as_running(gangs[it.gang_id], it.seats) for it in made.placements]
    victims = {it.victim_id for it in made.preemptions if it.for_gang_id == first.id}
    waits = tuple(it for it in before if it.id in made.deferrals)
    after = replace(settled(snapshot, victims, started), queued=waits)
    assert first.id in {it.gang_id for it in _plan(after).placements}


def every_wait_is_explained_with_counts_that_add_up(snapshot: Snapshot) -> None:
    made = _plan(snapshot)
    pool = Counter(chip.type for node in snapshot.nodes for chip in node.chips)
    for gang in snapshot.queued:
        if gang.id in made.deferrals:
            found = explain(snapshot, PRIORITY_AGE, NOON, {gang.id})
            assert found is not None
            removed: Counter[str] = Counter()
            for removal in found.removals:
                removed.update(removal.chips)
            assert removed <= pool
            assert found.sentence.strip(" ;") == found.sentence != ""
            assert found.queue_position >= 1


LAWS: Final[tuple[Callable[[Snapshot], None], ...]] = (
    no_plan_breaks_an_invariant,
    the_order_of_the_input_changes_nothing,
    thousandths_of_a_chip_are_never_given_twice,
    only_strictly_lower_priorities_are_preempted,
    a_gang_that_seats_are_kept_for_starts_once_the_releases_came,
    every_wait_is_explained_with_counts_that_add_up,
)


def _plan(snapshot: Snapshot) -> Plan:
    return plan(snapshot, PRIORITY_AGE, NOON)


def _shuffled(snapshot: Snapshot, rng: Random) -> Snapshot:
    def some(items: Sequence[ItemT]) -> tuple[ItemT, ...]:
        return tuple(rng.sample(items, len(items)))

    return replace(
        snapshot,
        nodes=some([replace(node, chips=some(node.chips)) for node in snapshot.nodes]),
        queued=some(snapshot.queued),
        running=some(snapshot.running),
        queues=some(snapshot.queues),
    )
