"""What must hold of any plan, checked against the snapshot alone before a commit.

Everything is recounted from the plan's seats. Only whether a waiting gang would have fitted is
asked of `gang`, since that is the search itself.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from scheduler.model import (
    ANY,
    WHOLE,
    Chip,
    ChipId,
    Code,
    Gang,
    GangId,
    Node,
    NodeId,
    Plan,
    Seat,
    Snapshot,
)
from scheduler.place.feasibility import can_hold, eligible
from scheduler.place.gang import Supply, seat_gang
from scheduler.place.outlook import Outlook
from scheduler.preempt import may_preempt
from scheduler.quota import used_now
from scheduler.snapshot.columns import columns_of


@dataclass(frozen=True, slots=True)
class Violation:
    """A broken invariant: its stable name, and what breaks it."""

    invariant: str
    detail: str

    def __str__(self) -> str:
        return f"{self.invariant}: {self.detail}"


def check(snapshot: Snapshot, plan: Plan) -> tuple[Violation, ...]:
    """Every invariant that the plan breaks; empty for a sound plan."""
    case = _Case(snapshot, plan)
    return tuple(Violation(name, it) for name, rule in _RULES.items() for it in rule(case))


class _Case:
    """A snapshot and a plan with what the rules look up."""

    def __init__(self, snapshot: Snapshot, plan: Plan) -> None:
        self.snapshot = snapshot
        self.plan = plan
        self.gangs: Mapping[GangId, Gang] = {gang.id: gang for gang in snapshot.queued}
        self.nodes: Mapping[NodeId, Node] = {node.id: node for node in snapshot.nodes}
        self.chips: Mapping[ChipId, Chip] = {
            chip.id: chip for node in snapshot.nodes for chip in node.chips
        }

    def placed(self) -> Iterator[tuple[Gang, Seat]]:
        for placement in self.plan.placements:
            if placement.gang_id in self.gangs:
                for seat in placement.seats:
                    yield self.gangs[placement.gang_id], seat


def _decided(case: _Case) -> Iterator[str]:
    """Every queued gang is placed or deferred, exactly once, and nothing else is."""
    counts = Counter(it.gang_id for it in case.plan.placements)
    counts.update(case.plan.deferrals.keys())
    for gang_id in sorted(counts.keys() | case.gangs.keys()):
        if gang_id not in case.gangs:
            yield f"{gang_id} is not queued"
        elif counts[gang_id] != 1:
            yield f"{gang_id} is decided {counts[gang_id]} times"


def _gangs_whole(case: _Case) -> Iterator[str]:
    """A gang is placed with `least` to `most` members, ranked from 0, or not at all."""
    for placement in case.plan.placements:
        gang = case.gangs.get(placement.gang_id)
        ranks = [seat.rank for seat in placement.seats]
        if gang is not None and not (
            gang.least <= len(ranks) <= gang.most and ranks == list(range(len(ranks)))
        ):
            yield f"{gang.id} has ranks {ranks} of {gang.least} to {gang.most}"


def _as_asked(case: _Case) -> Iterator[str]:
    """Each member gets the chips it asked for, on one node and of one type; a gang that may not
    mix is of one type.
    """
    types: dict[GangId, set[str]] = {}
    for gang, seat in case.placed():
        chips = [case.chips[it] for it in seat.chips if it in case.chips]
        kinds = {chip.type for chip in chips}
        types.setdefault(gang.id, set()).update(kinds)
        right = (
            len(chips) == len(seat.chips) == gang.request.chips
            and all(milli == gang.request.milli for milli in seat.chips.values())
            and all(chip.node_id == seat.node_id for chip in chips)
            and all(can_hold(chip, gang.request) for chip in chips)
            and len(kinds) <= 1
        )
        if not right:
            yield f"rank {seat.rank} of {gang.id} gets {dict(seat.chips)} on {seat.node_id}"
    for gang_id, kinds in types.items():
        if len(kinds) > 1 and not case.gangs[gang_id].mix:
            yield f"{gang_id} spans {sorted(kinds)}"


def _open_only(case: _Case) -> Iterator[str]:
    """Nothing is placed on a closed node or on an unhealthy chip."""
    for gang, seat in case.placed():
        node = case.nodes.get(seat.node_id)
        if node is None or not node.accepting:
            yield f"{gang.id} is placed on {seat.node_id}, which takes no work"
        for chip in seat.chips:
            if chip in case.chips and not case.chips[chip].healthy:
                yield f"{gang.id} is placed on the unhealthy chip {chip}"


def _chips_not_over(case: _Case) -> Iterator[str]:
    """No chip gives more than is free of it."""
    taken: Counter[ChipId] = Counter()
    for _, seat in case.placed():
        taken.update(seat.chips)
    for chip_id, milli in sorted(taken.items()):
        if chip_id in case.chips and milli > case.chips[chip_id].free_milli:
            yield f"{chip_id} gives {milli} of {case.chips[chip_id].free_milli}"


def _hosts_not_over(case: _Case) -> Iterator[str]:
    """No node gives more host cores or memory than is free of it."""
    cores: Counter[NodeId] = Counter()
    memory: Counter[NodeId] = Counter()
    for _, seat in case.placed():
        cores[seat.node_id] += seat.cores_milli
        memory[seat.node_id] += seat.memory_bytes
    for node_id in sorted(cores.keys() & case.nodes.keys()):
        node = case.nodes[node_id]
        if cores[node_id] > max(0, node.free_cores_milli):
            yield f"{node_id} gives {cores[node_id]} of {node.free_cores_milli} core thousandths"
        if memory[node_id] > max(0, node.free_memory_bytes):
            yield f"{node_id} gives {memory[node_id]} of {node.free_memory_bytes} bytes"


def _quotas_kept(case: _Case) -> Iterator[str]:
    """No queue that takes chips in this plan goes beyond a limit of its own."""
    taken: dict[str, Counter[str]] = {}
    for gang, seat in case.placed():
        for chip_id, milli in seat.chips.items():
            taken.setdefault(gang.queue, Counter())[case.chips[chip_id].type] += milli
    for queue in case.snapshot.queues:
        charge = taken.get(queue.name, Counter())
        for name, limit in sorted(queue.limits.items()):
            more = sum(charge.values()) if name == ANY else charge[name]
            used = queue.used_milli
            held = sum(used.values()) if name == ANY else used.get(name, 0)
            if more and held + more > limit * WHOLE:
                yield f"{queue.name} holds {held + more} of {limit * WHOLE} {name}"


def _within_borders(case: _Case) -> Iterator[str]:
    """Victims run, may make room for that gang, and are named once."""
    running = {gang.id: gang for gang in case.snapshot.running}
    named = Counter(it.victim_id for it in case.plan.preemptions)
    for preempt in case.plan.preemptions:
        victim, gang = running.get(preempt.victim_id), case.gangs.get(preempt.for_gang_id)
        if victim is None or gang is None or not may_preempt(gang, victim):
            yield f"{preempt.victim_id} cannot make room for {preempt.for_gang_id}"
        elif named[victim.id] > 1:
            yield f"{victim.id} makes room for several"


def _none_passed(case: _Case) -> Iterator[str]:
    """No gang waits that would fit if the gangs of strictly lower priority had not started."""
    lowest = min((gang.priority for gang, _ in case.placed()), default=0)
    waiting = [
        case.gangs[gang_id]
        for gang_id, code in sorted(case.plan.deferrals.items())
        if gang_id in case.gangs and code is not Code.BACKING_OFF
    ]
    passed = [gang for gang in waiting if gang.priority > lowest]
    if not passed or not case.plan.placements:
        return
    columns = columns_of(case.snapshot)
    start = Supply(columns.now, used_now(case.snapshot), case.snapshot.speeds)
    states = {it: _beside(case, start, it) for it in {gang.priority for gang in passed}}
    outlooks = {it: Outlook(supply.overlay) for it, supply in states.items()}
    known: dict[object, bool] = {}
    for gang in passed:
        key = (gang.request, gang.least, gang.mix, gang.type, gang.queue, gang.priority)
        if key not in known:
            ruled_out = outlooks[gang.priority].rules_out(gang, eligible(gang, columns.layout))
            known[key] = not ruled_out and seat_gang(gang, states[gang.priority]) is not None
        if known[key]:
            yield f"{gang.id} waits while a lower priority starts in its place"


def _beside(case: _Case, start: Supply, priority: int) -> Supply:
    """What is free beside what the plan gives to, or keeps for, gangs of at least this priority."""
    taken: dict[str, list[Seat]] = {}
    gives = [(it.gang_id, it.seats) for it in case.plan.placements]
    keeps = [(it.gang_id, it.seats) for it in case.plan.holds]
    for gang_id, seats in gives + keeps:
        gang = case.gangs.get(gang_id)
        if gang is not None and gang.priority >= priority:
            taken.setdefault(gang.queue, []).extend(seats)
    for queue, all_seats in taken.items():
        start = start.take(queue, all_seats)
    return start


_RULES: Final[Mapping[str, Callable[[_Case], Iterator[str]]]] = {
    "every gang is decided once": _decided,
    "gangs are whole or absent": _gangs_whole,
    "members get what they asked for": _as_asked,
    "closed nodes and unhealthy chips stay unused": _open_only,
    "no chip is over its capacity": _chips_not_over,
    "no host is over its cores and memory": _hosts_not_over,
    "no queue is over its limits": _quotas_kept,
    "only lower priorities of the own project make room": _within_borders,
    "no lower priority passes a gang that fits": _none_passed,
}
