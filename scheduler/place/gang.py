"""Seats for a gang, all or none: on one chip type, or over several where the gang may mix.

Where it may run is `feasibility`'s, how many fit on a node `fits`'s, what is preferred
`scoring`'s.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from scheduler.model import ChipId, Gang, HostShare, NodeId, RunningGang, Seat
from scheduler.place.fits import Offer, Take, board
from scheduler.place.host import NOTHING
from scheduler.place.scoring import Candidate, candidates, thriftiest, throughput
from scheduler.quota import Usage
from scheduler.snapshot.overlays import Pool


@dataclass(frozen=True, slots=True)
class State:
    """What can be had at one moment: the pool, and what queues hold."""

    pool: Pool
    usage: Usage

    def take(self, queue: str, seats: Sequence[Seat]) -> State:
        """Without what the seats take."""
        charge = self.pool.index.charge(seats) if queue in self.usage.limits else {}
        return State(self.pool.take(seats), self.usage.add(queue, charge))


def seat_gang(
    gang: Gang, state: State, siblings: Mapping[str, int] | None = None
) -> tuple[Seat, ...] | None:
    """Seats for as many members as fit, between `least` and `most`; None if `least` do not."""
    seats = best_seats(gang, state, gang.sibling_types if siblings is None else siblings)
    return seats if len(seats) >= gang.least else None


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
        gang.id, gang.job_id, gang.job_name, gang.queue, gang.priority, gang.created_at,
        type=gang.type, project=gang.project, chips=chips, hosts=hosts,
    )  # fmt: skip


def best_seats(gang: Gang, state: State, siblings: Mapping[str, int]) -> tuple[Seat, ...]:
    """Seats for as many members as fit, even if they are too few to start."""
    found = candidates(gang, state.pool.index, siblings)
    single = _on_one_type(gang, state, found)
    if not gang.mix or len(single) == gang.most or len(found) < 2:
        return single
    mixed = _over_types(gang, state, found)
    if len(mixed) < gang.most:
        mixed = max(mixed, _over_types(gang, state, thriftiest(found)), key=len)
    return max(single, mixed, key=len)


def _on_one_type(gang: Gang, state: State, found: Sequence[Candidate]) -> tuple[Seat, ...]:
    """On the type of the best level that does most with the members it holds; on whichever
    holds most members where none holds `least`.
    """
    fitting: list[tuple[Candidate, tuple[Seat, ...]]] = []
    partly: tuple[Seat, ...] = ()
    for candidate in found:
        if fitting and candidate.level != fitting[0][0].level:
            break
        seats = _gather(gang, state, candidate, gang.most)
        if len(seats) >= gang.least:
            fitting.append((candidate, seats))
        partly = max(partly, seats, key=len)
        if len(seats) == gang.most:
            break
    return max(fitting, key=_worth)[1] if fitting else partly


def _worth(option: tuple[Candidate, tuple[Seat, ...]]) -> float:
    candidate, seats = option
    return throughput(candidate, len(seats))


def _over_types(gang: Gang, state: State, found: Sequence[Candidate]) -> tuple[Seat, ...]:
    """As many members as fit, from one type after the other."""
    seats: tuple[Seat, ...] = ()
    for candidate in found:
        if len(seats) == gang.most:
            break
        more = _gather(gang, state, candidate, gang.most - len(seats), len(seats))
        state = state.take(gang.queue, more)
        seats += more
    return seats


def _gather(
    gang: Gang, state: State, candidate: Candidate, want: int, first_rank: int = 0
) -> tuple[Seat, ...]:
    """At most `want` members on one type, within the queue's limits, on few nodes."""
    per_member = gang.request.chips * gang.request.milli
    if candidate.chip_type is not None:
        left = state.usage.left(gang.queue, candidate.chip_type)
        want = want if left is None else min(want, left // per_member)
    if want <= 0:
        return ()
    it = board(state.pool, gang.request, candidate.chip_type, gang.most)
    sites = _choose(it.offers(state.pool), want)
    takes = [(site, take) for site, count in sites for take in it.takes(site)[:count]]
    return tuple(
        _seat(gang, state.pool, site, take, rank)
        for rank, (site, take) in enumerate(takes, start=first_rank)
    )


def _choose(offers: Mapping[int, Offer], want: int) -> list[tuple[int, int]]:
    """(site, members): the roomiest sites while one alone is too small, then the tightest that
    holds the rest.
    """
    if want == 1:
        return [(min(offers.values())[3], 1)] if offers else []
    roomiest = sorted(offers.values(), key=lambda offer: (-offer[4], offer))
    chosen: list[tuple[int, int]] = []
    for number, (*_, site, count) in enumerate(roomiest):
        if count >= want:
            tightest = min(offer for offer in roomiest[number:] if offer[4] >= want)
            return [*chosen, (tightest[3], want)]
        chosen.append((site, count))
        want -= count
    return chosen


def _seat(gang: Gang, pool: Pool, site: int, take: Take, rank: int) -> Seat:
    home = pool.index.sites[site]
    chips = {home.chips[position].id: gang.request.milli for position in take.positions}
    return Seat(rank, home.node.id, chips, take.cores_milli, take.memory_bytes)
