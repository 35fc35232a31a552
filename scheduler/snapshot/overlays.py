"""The pool as the planner searches it: an index of what is there, and immutable views of what
is free, copied for every what-if. Whether something fits is left to `feasibility` and `fits`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field, replace
from functools import cached_property

from scheduler.model import (
    Chip,
    ChipId,
    HostShare,
    Node,
    NodeId,
    RunningGang,
    Seat,
    Snapshot,
)
from scheduler.place.host import NOTHING, chip_share

Part = tuple[NodeId, Mapping[ChipId, int], int, int]
"""What is held on one node: chips in thousandths, host core thousandths, host memory."""


@dataclass(frozen=True, slots=True)
class Room:
    """What is free on one node: thousandths of each chip, host cores, host memory."""

    chips: tuple[int, ...]
    cores_milli: int
    memory_bytes: int


@dataclass(frozen=True, slots=True)
class Site:
    """A node that takes new work. `shares` is what each whole chip takes of the host."""

    node: Node
    chips: tuple[Chip, ...]
    shares: tuple[HostShare, ...]


class Index:
    """Built once per cycle. Sites and chips are sorted by id and by index: permuting the
    snapshot changes nothing.
    """

    def __init__(self, snapshot: Snapshot) -> None:
        self.snapshot = snapshot
        self.nodes = tuple(sorted(snapshot.nodes, key=lambda node: node.id))
        self.sites = tuple(_site(node) for node in self.nodes if node.accepting)
        self.site_of = {site.node.id: number for number, site in enumerate(self.sites)}
        self.seat_of: dict[ChipId, tuple[int, int]] = {
            chip.id: (number, position)
            for number, site in enumerate(self.sites)
            for position, chip in enumerate(site.chips)
        }
        self.memo: dict[object, object] = {}
        self.type_of = {chip.id: chip.type for node in self.nodes for chip in node.chips}

    @cached_property
    def positions(self) -> Mapping[str, tuple[tuple[int, tuple[int, ...]], ...]]:
        """Chip type → (site, positions of its healthy chips there)."""
        found: dict[str, list[tuple[int, tuple[int, ...]]]] = {}
        for number, site in enumerate(self.sites):
            here: dict[str, list[int]] = {}
            for position, chip in enumerate(site.chips):
                if chip.healthy:
                    here.setdefault(chip.type, []).append(position)
            for chip_type, where in here.items():
                found.setdefault(chip_type, []).append((number, tuple(where)))
        return {chip_type: tuple(where) for chip_type, where in sorted(found.items())}

    @cached_property
    def whole(self) -> tuple[Room, ...]:
        """The rooms as if nothing ran."""
        return tuple(_whole_room(site) for site in self.sites)

    def chip(self, site: int, position: int) -> Chip:
        return self.sites[site].chips[position]

    def charge(self, seats: Iterable[Seat]) -> Mapping[str, int]:
        """Chip type → thousandths that the seats take."""
        return self.by_type(chip for seat in seats for chip in seat.chips.items())

    def by_type(self, chips: Iterable[tuple[ChipId, int]]) -> Mapping[str, int]:
        """Chip type → thousandths. Chips that the snapshot does not list are left out."""
        total: Counter[str] = Counter()
        for chip_id, milli in chips:
            if (chip_type := self.type_of.get(chip_id)) is not None:
                total[chip_type] += milli
        return total


@dataclass(frozen=True, slots=True)
class Pool:
    """What is free on every site. Copies share the rooms that did not change."""

    index: Index
    rooms: tuple[Room, ...]
    memo: dict[object, object] = field(default_factory=dict, compare=False, repr=False)
    """Search results remembered by whoever searches; shared by a pool and its copies."""

    def take(self, seats: Sequence[Seat]) -> Pool:
        """Without what the seats take."""
        return self._shifted(
            ((seat.node_id, seat.chips, seat.cores_milli, seat.memory_bytes) for seat in seats), -1
        )

    def give(self, gangs: Iterable[RunningGang]) -> Pool:
        """With what the gangs would give back. What lies on closed nodes is of no use."""
        return self._shifted((part for gang in gangs for part in self._parts(gang)), 1)

    def nodes_of(self, gang: RunningGang) -> Set[NodeId]:
        """The sites on which a gang holds something."""
        return {node for node, *_ in self._parts(gang)}

    def within(self, other: Pool, nodes: Iterable[NodeId]) -> Pool:
        """Never more than `other` has, on these nodes."""
        rooms = list(self.rooms)
        for number in {self.index.site_of[node] for node in nodes}:
            rooms[number] = _smaller(rooms[number], other.rooms[number])
        return replace(self, rooms=tuple(rooms))

    def _parts(self, gang: RunningGang) -> Iterator[Part]:
        """What a gang holds, by open node."""
        chips: dict[NodeId, dict[ChipId, int]] = {node: {} for node in gang.hosts}
        for chip, milli in gang.chips.items():
            if (seat := self.index.seat_of.get(chip)) is not None:
                chips.setdefault(self.index.sites[seat[0]].node.id, {})[chip] = milli
        for node, held in chips.items():
            if node in self.index.site_of:
                share = gang.hosts.get(node, NOTHING)
                yield node, held, share.cores_milli, share.memory_bytes

    def _shifted(self, parts: Iterable[Part], sign: int) -> Pool:
        rooms = list(self.rooms)
        for node, chips, cores_milli, memory_bytes in parts:
            number = self.index.site_of.get(node)
            if number is not None:
                share = HostShare(sign * cores_milli, sign * memory_bytes)
                rooms[number] = self._room(number, rooms[number], chips, share, sign)
        return replace(self, rooms=tuple(rooms))

    def _room(
        self, number: int, room: Room, chips: Mapping[ChipId, int], share: HostShare, sign: int
    ) -> Room:
        """The room with more or less in it; never more than the node has, since what a gang
        gives back may be counted as coming back already.
        """
        free = list(room.chips)
        for chip, milli in chips.items():
            position = self.index.seat_of[chip][1]
            if self.index.chip(number, position).healthy:
                free[position] += sign * milli
        changed = Room(
            tuple(free),
            room.cores_milli + share.cores_milli,
            room.memory_bytes + share.memory_bytes,
        )
        return changed if sign < 0 else _smaller(changed, self.index.whole[number])


def free_now(index: Index) -> Pool:
    """What can be leased at once."""
    return Pool(index, tuple(_free_room(site) for site in index.sites))


def free_later(index: Index, now: Pool) -> Pool:
    """What is free once everything that is being released has come back."""
    return Pool(
        index,
        tuple(_later_room(site, room) for site, room in zip(index.sites, now.rooms, strict=True)),
    )


def all_free(index: Index) -> Pool:
    """The pool as if nothing ran on it."""
    return Pool(index, index.whole)


def _site(node: Node) -> Site:
    chips = tuple(sorted(node.chips, key=lambda chip: (chip.index, chip.id)))
    return Site(node, chips, tuple(chip_share(node, chip) for chip in chips))


def _free_room(site: Site) -> Room:
    return Room(
        tuple(chip.free_milli if chip.healthy else 0 for chip in site.chips),
        site.node.free_cores_milli,
        site.node.free_memory_bytes,
    )


def _later_room(site: Site, room: Room) -> Room:
    """The same object where nothing is being released."""
    node = site.node
    coming = tuple(chip.releasing_milli if chip.healthy else 0 for chip in site.chips)
    if not (any(coming) or node.releasing_cores_milli or node.releasing_memory_bytes):
        return room
    sum_of = Room(
        tuple(free + more for free, more in zip(room.chips, coming, strict=True)),
        room.cores_milli + node.releasing_cores_milli,
        room.memory_bytes + node.releasing_memory_bytes,
    )
    return _smaller(sum_of, _whole_room(site))


def _whole_room(site: Site) -> Room:
    return Room(
        tuple(chip.capacity_milli if chip.healthy else 0 for chip in site.chips),
        site.node.cores_milli,
        site.node.memory_bytes,
    )


def _smaller(one: Room, other: Room) -> Room:
    return Room(
        tuple(map(min, one.chips, other.chips)),
        min(one.cores_milli, other.cores_milli),
        min(one.memory_bytes, other.memory_bytes),
    )
