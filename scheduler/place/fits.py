"""How many members of a gang fit on each node, remembered per request and node.

Nothing is chosen here: `gang` picks nodes, `scoring` says which chip types come first. What was
found for a room stays true until that room changes, in whichever copy of the pool it is.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import compress
from operator import is_not

from scheduler.model import WHOLE, MemberRequest
from scheduler.place.feasibility import can_hold
from scheduler.place.host import member_share
from scheduler.snapshot.overlays import Index, Pool, Room, Site

Place = tuple[int, tuple[int, ...]]
"""A site and the positions of the chips there that could hold a member; none without chips."""
Offer = tuple[int, int, int, int, int]
"""(tightness, free of the type, free host cores, site, members): the smallest packs best."""


@dataclass(frozen=True, slots=True)
class Take:
    """What one member takes of a site: chip positions, and its part of the host."""

    positions: tuple[int, ...]
    cores_milli: int
    memory_bytes: int


class Board:
    """Per node: how many members of one request on one chip type fit, and at which chips."""

    def __init__(self, index: Index, request: MemberRequest, chip_type: str | None, most: int):
        self._index = index
        self._request = request
        self._most = most
        self.places = _places(index, request, chip_type)
        self._sites = tuple(site for site, _ in self.places)
        self._seen: tuple[Room, ...] = ()
        self._rooms: list[Room | None] = [None] * len(self.places)
        self._offers: dict[int, Offer] = {}
        self._takes: dict[int, tuple[Take, ...]] = {}

    def offers(self, pool: Pool) -> Mapping[int, Offer]:
        """Site → offer, for the sites where at least one member fits."""
        if pool.rooms is not self._seen:
            self._look_again(pool.rooms)
        return self._offers

    def takes(self, site: int) -> tuple[Take, ...]:
        """The members that fit on a site that has an offer."""
        return self._takes[site]

    def _look_again(self, rooms: tuple[Room, ...]) -> None:
        """Scores the rooms that are not those seen last."""
        now = [rooms[site] for site in self._sites]
        for place in list(compress(range(len(now)), map(is_not, now, self._rooms))):
            self._score(*self.places[place], now[place])
        self._rooms, self._seen = list(now), rooms

    def _score(self, number: int, positions: tuple[int, ...], room: Room) -> None:
        site = self._index.sites[number]
        takes = tuple(_fill(site, room, positions, self._request, self._most))
        if not takes:
            self._offers.pop(number, None)
            return
        self._takes[number] = takes
        self._offers[number] = _offer(number, room, positions, takes)


def board(pool: Pool, request: MemberRequest, chip_type: str | None, most: int) -> Board:
    """The board of this request, kept with the pool and its copies."""
    key = (request, chip_type, most)
    found = pool.memo.get(key)
    if not isinstance(found, Board):
        found = pool.memo[key] = Board(pool.index, request, chip_type, most)
    return found


def _places(index: Index, request: MemberRequest, chip_type: str | None) -> tuple[Place, ...]:
    if chip_type is None:
        return tuple((site, ()) for site in range(len(index.sites)))
    found = []
    for site, positions in index.positions.get(chip_type, ()):
        fitting = tuple(it for it in positions if can_hold(index.chip(site, it), request))
        if fitting:
            found.append((site, fitting))
    return tuple(found)


def _fill(
    site: Site, room: Room, positions: tuple[int, ...], request: MemberRequest, most: int
) -> Iterator[Take]:
    """Members one after another until no more fit."""
    free = list(room.chips)
    cores_milli, memory_bytes = room.cores_milli, room.memory_bytes
    for _ in range(most):
        chosen = _choose(free, positions, request)
        if chosen is None:
            return
        share = member_share(site.shares, chosen, request)
        cores_milli -= share.cores_milli
        memory_bytes -= share.memory_bytes
        if cores_milli < 0 or memory_bytes < 0:
            return
        for position in chosen:
            free[position] -= request.milli
        yield Take(chosen, share.cores_milli, share.memory_bytes)


def _choose(
    free: Sequence[int], positions: tuple[int, ...], request: MemberRequest
) -> tuple[int, ...] | None:
    """The fullest chips that still hold the request, by position where they are equally full."""
    if not request.chips:
        return ()
    open_positions = [it for it in positions if free[it] >= request.milli]
    if len(open_positions) < request.chips:
        return None
    if request.milli < WHOLE:
        open_positions.sort(key=lambda it: free[it])
    return tuple(open_positions[: request.chips])


def _offer(number: int, room: Room, positions: tuple[int, ...], takes: tuple[Take, ...]) -> Offer:
    """Fewest leftover first: on the chip, of the type on the node, of the node's cores.

    Members without chips go where the fewest chips are free, so that chips keep their cores.
    """
    chosen = takes[0].positions
    tightness = min((room.chips[it] for it in chosen), default=0)
    left = sum(room.chips[it] for it in positions) if chosen else sum(room.chips)
    return (tightness, left, room.cores_milli, number, len(takes))
