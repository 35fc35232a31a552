"""Seats for a gang, all or none: on one chip type, or over several where the gang may mix.

Where it may run is `feasibility`'s, how many fit on a node `fits`'s, what is preferred
`scoring`'s.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from scheduler.model import ChipId, Gang, HostShare, NodeId, RunningGang, Seat, Speeds
from scheduler.place.feasibility import eligible
from scheduler.place.fits import takes
from scheduler.place.scoring import Candidate, candidates, thriftiest, throughput
from scheduler.quota import Usage, no_limits
from scheduler.snapshot.columns import Layout
from scheduler.snapshot.host import NOTHING
from scheduler.snapshot.overlays import Overlay


@dataclass(frozen=True, slots=True)
class Supply:
    """What can be had at one moment: what is free, and what queues hold of their limits."""

    overlay: Overlay
    usage: Usage
    speeds: Speeds
    ranked: dict[object, list[Candidate]] = field(default_factory=dict, compare=False, repr=False)
    """Chip types for a request, best first; the same for all that is made of one supply."""

    @property
    def layout(self) -> Layout:
        return self.overlay.layout

    def take(self, queue: str, seats: Sequence[Seat], overlay: Overlay | None = None) -> Supply:
        """Without what the seats take; `overlay`: what is free then, where that is known."""
        charge = self.layout.charge(seats) if queue in self.usage.limits else {}
        overlay = overlay or self.overlay.take(seats)
        return replace(self, overlay=overlay, usage=self.usage.add(queue, charge))

    def give(self, gangs: Iterable[RunningGang]) -> Supply:
        """What can be had once the gangs have ended."""
        gangs, usage = list(gangs), self.usage
        for gang in gangs:
            if gang.queue in usage.limits:
                usage = usage.add(gang.queue, self.layout.by_type([gang.chips]), -1)
        return replace(self, overlay=self.overlay.give(gangs), usage=usage)


def empty_supply(layout: Layout, speeds: Speeds) -> Supply:
    """The pool as if nothing ran, without limits."""
    return Supply(layout.empty, no_limits(), speeds)


def seat_gang(
    gang: Gang, supply: Supply, siblings: Mapping[str, int] | None = None
) -> tuple[Seat, ...] | None:
    """Seats for as many members as fit, between `least` and `most`; None if `least` do not."""
    seats = best_seats(gang, supply, gang.sibling_types if siblings is None else siblings)
    return seats if len(seats) >= gang.least else None


def could_start(gang: Gang, empty: Supply) -> bool:
    """Whether the gang could start if nothing ran and there were no limits."""
    for places in eligible(gang, empty.layout).values():
        if places.uneven:
            return seat_gang(gang, empty) is not None
        if places.hold_if_empty(gang.request, gang.least):
            return True
    return gang.mix and seat_gang(gang, empty) is not None


def as_running(gang: Gang, seats: Sequence[Seat]) -> RunningGang:
    """The gang as if it ran on these seats."""
    hosts: dict[NodeId, HostShare] = {}
    for seat in seats:
        before = hosts.get(seat.node_id, NOTHING)
        hosts[seat.node_id] = HostShare(
            before.cores_milli + seat.cores_milli, before.memory_bytes + seat.memory_bytes
        )
    chips: Counter[ChipId] = Counter()
    for seat in seats:
        chips.update(seat.chips)
    return RunningGang(
        gang.id,
        gang.job_id,
        gang.job_name,
        gang.queue,
        gang.priority,
        gang.created_at,
        type=gang.type,
        project=gang.project,
        chips=chips,
        hosts=hosts,
    )


def best_seats(gang: Gang, supply: Supply, siblings: Mapping[str, int]) -> tuple[Seat, ...]:
    """Seats for as many members as fit, even if they are too few to start."""
    found = _candidates(gang, supply, siblings)
    single = _on_one_type(gang, supply, found)
    if not gang.mix or len(single) == gang.most or len(found) < 2:
        return single
    mixed = _over_types(gang, supply, found)
    if len(mixed) < gang.most:
        mixed = max(mixed, _over_types(gang, supply, thriftiest(found)), key=len)
    return max(single, mixed, key=len)


def _candidates(gang: Gang, supply: Supply, siblings: Mapping[str, int]) -> list[Candidate]:
    if gang.spread:
        return candidates(gang, eligible(gang, supply.layout), supply.speeds, siblings)
    key = (gang.request, gang.least, gang.mix, gang.type, gang.work)
    found = supply.ranked.get(key)
    if found is None:
        places = eligible(gang, supply.layout)
        found = supply.ranked[key] = candidates(gang, places, supply.speeds, {})
    return found


def _on_one_type(gang: Gang, supply: Supply, found: Sequence[Candidate]) -> tuple[Seat, ...]:
    """On the type of the best level that does most with the members it holds; on whichever
    holds most members where none holds `least`.
    """
    fitting: list[tuple[Candidate, tuple[Seat, ...]]] = []
    partly: tuple[Seat, ...] = ()
    for candidate in found:
        if fitting and candidate.level != fitting[0][0].level:
            break
        seats = _gather(gang, supply, candidate, gang.most)
        if len(seats) >= gang.least:
            fitting.append((candidate, seats))
        partly = max(partly, seats, key=len)
        if len(seats) == gang.most:
            break
    return max(fitting, key=_worth)[1] if fitting else partly


def _worth(option: tuple[Candidate, tuple[Seat, ...]]) -> float:
    candidate, seats = option
    return throughput(candidate, len(seats))


def _over_types(gang: Gang, supply: Supply, found: Sequence[Candidate]) -> tuple[Seat, ...]:
    """As many members as fit, from one type after the other."""
    seats: tuple[Seat, ...] = ()
    for candidate in found:
        if len(seats) == gang.most:
            break
        more = _gather(gang, supply, candidate, gang.most - len(seats), len(seats))
        supply = supply.take(gang.queue, more)
        seats += more
    return seats


def _gather(
    gang: Gang, supply: Supply, candidate: Candidate, want: int, first_rank: int = 0
) -> tuple[Seat, ...]:
    """At most `want` members on one type, within the queue's limits, on few nodes."""
    request = gang.request
    if candidate.chip_type is not None:
        left = supply.usage.left(gang.queue, candidate.chip_type)
        want = want if left is None else min(want, left // (request.chips * request.milli))
    if want <= 0:
        return ()
    sites = supply.layout.sites
    return tuple(
        Seat(
            rank,
            sites[it.site].node.id,
            dict.fromkeys(it.chips, request.milli),
            it.cores_milli,
            it.memory_bytes,
        )
        for rank, it in enumerate(
            takes(supply.overlay, candidate.places, request, gang.most, want), first_rank
        )
    )
