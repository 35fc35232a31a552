"""The pool in columns: a row for each node and each chip, in order of their ids, so that a search
looks at all of them at once and permuting the snapshot changes nothing.

`Layout` is what stays from cycle to cycle, `Columns` adds what is free. What fits where is left to
`scheduler.place`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import chain
from typing import Final

import numpy as np

from scheduler.model import (
    WHOLE,
    Chip,
    ChipId,
    Closed,
    HostShare,
    Node,
    NodeId,
    RunningGang,
    Seat,
    Snapshot,
)
from scheduler.snapshot.host import chip_shares
from scheduler.snapshot.overlays import Ints, Overlay
from scheduler.snapshot.places import Places

OPEN: Final = 0
STATES: Final[Mapping[Closed | None, int]] = {
    None: OPEN,
    **{it: at for at, it in enumerate(Closed, 1)},
}
"""Numbers of what nodes are closed for."""
UNHEALTHY: Final = len(STATES)
LEVELS: Final = ("zone", "block", "rack")
"""Labels of nodes that say where they stand; -1 in their columns where a node has none."""


@dataclass(frozen=True, slots=True)
class Site:
    """A node with its chips in order. `shares` is what each whole chip takes of the host."""

    node: Node
    chips: tuple[Chip, ...]
    shares: tuple[HostShare, ...]
    first: int
    """The row of its first chip."""


@dataclass(frozen=True, slots=True, eq=False)
class Kinds:
    """Chips of one make, in one state, on one node: `count` of each. `type` is a place in
    `Layout.types`; `state` is UNHEALTHY or that of the node.
    """

    make: Ints
    state: Ints
    site: Ints
    type: Ints
    count: Ints
    of_row: Ints
    """Of which kind each chip is."""


class Layout:
    """Nodes and chips apart from who holds them. On closed nodes and of unhealthy chips nothing
    is to be had, and nothing comes back.
    """

    def __init__(self, nodes: Sequence[Node]) -> None:
        sites, first = [], 0
        for node in sorted(nodes, key=lambda it: it.id):
            chips = _in_order(node.chips)
            sites.append(Site(node, chips, chip_shares(node, chips), first))
            first += len(chips)
        self.sites: tuple[Site, ...] = tuple(sites)
        self.chips: tuple[Chip, ...] = tuple(chain.from_iterable(it.chips for it in sites))
        self.site_of: Mapping[NodeId, int] = {it.node.id: at for at, it in enumerate(sites)}
        self.row_of: Mapping[ChipId, int] = {chip.id: row for row, chip in enumerate(self.chips)}
        self.state = _ints(STATES[it.node.closed] for it in sites)
        self.cores = _ints(it.node.cores_milli for it in sites)
        self.memory = _ints(it.node.memory_bytes for it in sites)
        self.open = self.state == OPEN
        self.site_of_row = np.repeat(np.arange(len(sites)), [len(it.chips) for it in sites])
        self.makes: list[Chip] = []
        """One chip of each make."""
        self.make_of_row = self._make_of_row()
        shares = list(chain.from_iterable(it.shares for it in sites))
        self.share_cores = _ints(it.cores_milli for it in shares)
        self.share_memory = _ints(it.memory_bytes for it in shares)
        self.healthy = np.array([chip.healthy for chip in self.chips], dtype=bool)
        usable = self.healthy & self.open[self.site_of_row] if len(self.chips) else self.healthy
        self.empty = Overlay(
            self,
            np.where(usable, WHOLE, 0),
            np.where(self.open, self.cores, 0),
            np.where(self.open, self.memory, 0),
        )
        """As if nothing ran."""
        self.eligible: dict[object, Mapping[str | None, Places]] = {}
        """Where members of a request could sit; kept by `place.feasibility`."""
        self._places: dict[tuple[int, ...], Places] = {}

    def _make_of_row(self) -> Ints:
        known: dict[object, int] = {}
        numbers = []
        for it in self.chips:
            make = (
                it.type,
                it.vendor,
                it.memory_bytes,
                it.dtypes,
                it.emulated,
                it.stands_for,
                it.cores_milli,
                it.trainable,
            )
            if make not in known:
                known[make] = len(known)
                self.makes.append(it)
            numbers.append(known[make])
        return _ints(numbers)

    @cached_property
    def in_inventory(self) -> Ints:
        """Rows of chips whose node is not retired."""
        gone = self.state == STATES[Closed.RETIRED]
        return np.flatnonzero(~gone[self.site_of_row]) if len(self.chips) else _ints(())

    @cached_property
    def types(self) -> tuple[str, ...]:
        """The chip types of the pool, in order."""
        return tuple(sorted({it.type for it in self.makes}))

    @cached_property
    def type_of_row(self) -> Ints:
        """Of each chip the place of its type in `types`."""
        of_make = _ints(self.types.index(it.type) for it in self.makes)
        return of_make[self.make_of_row]

    @cached_property
    def kinds(self) -> Kinds:
        """Chips that no request tells apart."""
        state = np.where(self.healthy, self.state[self.site_of_row], UNHEALTHY)
        table = np.stack((self.make_of_row, state, self.site_of_row)).astype(np.int64)
        kinds, of_row, count = np.unique(table, axis=1, return_inverse=True, return_counts=True)
        make, state, site = kinds
        of_make = _ints(self.types.index(it.type) for it in self.makes)
        return Kinds(make, state, site, of_make[make], count, of_row.reshape(-1))

    @cached_property
    def topology(self) -> Mapping[str, Ints]:
        """Level → the number of the place of that level where each site stands."""
        found = {}
        for level in LEVELS:
            names = [it.node.labels.get(level) for it in self.sites]
            known = {name: at for at, name in enumerate(sorted({it for it in names if it}))}
            found[level] = _ints(known.get(name or "", -1) for name in names)
        return found

    @cached_property
    def hosts(self) -> Places:
        """Open nodes, for members without chips."""
        return Places(self, None)

    def places(self, makes: tuple[int, ...]) -> Places:
        """Where the chips of these makes, which are of one type, can be had."""
        if makes not in self._places:
            self._places[makes] = Places(self, makes)
        return self._places[makes]

    def nodes_of(self, gang: RunningGang) -> Set[NodeId]:
        """The open nodes on which a gang holds something."""
        rows = [self.row_of[it] for it in gang.chips if it in self.row_of]
        nodes = {self.chips[row].node_id for row in rows} | gang.hosts.keys()
        return {it for it in nodes if it in self.site_of and self.open[self.site_of[it]]}

    def held(self, gangs: Sequence[RunningGang]) -> tuple[Ints, Ints]:
        """(place of its holder among the gangs, row) of each chip that they hold; those that the
        snapshot does not list are left out.
        """
        row_of = self.row_of.get
        rows = _ints([row_of(chip_id, -1) for it in gangs for chip_id in it.chips])
        holders = np.repeat(np.arange(len(gangs)), [len(it.chips) for it in gangs])
        return holders[rows >= 0], rows[rows >= 0]

    def charge(self, seats: Iterable[Seat]) -> dict[str, int]:
        """Chip type → thousandths that the seats take."""
        return self.by_type(seat.chips for seat in seats)

    def by_type(self, held: Iterable[Mapping[ChipId, int]]) -> dict[str, int]:
        """Chip type → thousandths. Chips that the snapshot does not list are left out."""
        total: dict[str, int] = {}
        for chips in held:
            for chip_id, milli in chips.items():
                if (row := self.row_of.get(chip_id)) is not None:
                    kind = self.chips[row].type
                    total[kind] = total.get(kind, 0) + milli
        return total


class Columns:
    """A layout with what is free on it, now and once everything that is being released has come
    back. Made of an earlier look at the same nodes, only rows of those that changed are new.
    """

    def __init__(self, nodes: tuple[Node, ...], before: Columns | None = None) -> None:
        self.nodes = nodes
        changed = None if before is None else _changed(before, nodes)
        if before is None or changed is None:
            self.layout = Layout(nodes)
            self.seen: dict[NodeId, Node] = {it.id: it for it in nodes}
            self.chips, self.hosts = _blank(2, len(self.layout.chips)), _blank(4, len(nodes))
            for site in self.layout.sites:
                self._note(site, site.chips)
        else:
            self.layout = before.layout
            self.seen = {**before.seen, **{it.id: it for it in changed}}
            self.chips, self.hosts = before.chips.copy(), before.hosts.copy()
            for node in changed:
                site = replace(self.layout.sites[self.layout.site_of[node.id]], node=node)
                self._note(site, _in_order(node.chips))
        self.now = Overlay(self.layout, self.chips[0], self.hosts[0], self.hosts[1])
        coming = self.chips[1].any() or self.hosts[2:].any()
        self.later = self.now if not coming else self._later()

    def _note(self, site: Site, chips: tuple[Chip, ...]) -> None:
        """Writes a node's rows: what is free of it, and what is coming back."""
        node = site.node
        if not node.accepting:
            return
        rows = slice(site.first, site.first + len(chips))
        self.chips[0, rows] = [it.free_milli if it.healthy else 0 for it in chips]
        self.chips[1, rows] = [it.releasing_milli if it.healthy else 0 for it in chips]
        self.hosts[:, self.layout.site_of[node.id]] = (
            node.free_cores_milli,
            node.free_memory_bytes,
            node.releasing_cores_milli,
            node.releasing_memory_bytes,
        )

    def _later(self) -> Overlay:
        whole = self.layout.empty
        return Overlay(
            self.layout,
            np.minimum(self.chips.sum(axis=0), whole.chips),
            np.minimum(self.hosts[0] + self.hosts[2], whole.cores),
            np.minimum(self.hosts[1] + self.hosts[3], whole.memory),
        )


def columns_of(snapshot: Snapshot) -> Columns:
    """The snapshot's columns: those that came with it, if they are of these very nodes."""
    known = snapshot.columns
    if isinstance(known, Columns) and known.nodes is snapshot.nodes:
        return known
    return Columns(snapshot.nodes, known if isinstance(known, Columns) else None)


def _changed(before: Columns, nodes: tuple[Node, ...]) -> list[Node] | None:
    """The nodes of which something else is free; None where more than that has changed."""
    if len(nodes) != len(before.seen):
        return None
    found = []
    for node in nodes:
        old = before.seen.get(node.id)
        if old is not node:
            if old is None or not _same_but_for_what_is_free(old, node):
                return None
            found.append(node)
    return found


def _same_but_for_what_is_free(old: Node, new: Node) -> bool:
    def as_if_free(node: Node) -> Node:
        chips = [it.held(0, 0) for it in node.chips]
        return replace(
            node,
            free_cores_milli=0,
            free_memory_bytes=0,
            releasing_cores_milli=0,
            releasing_memory_bytes=0,
            chips=tuple(chips),
        )

    return as_if_free(old) == as_if_free(new)


def _in_order(chips: Iterable[Chip]) -> tuple[Chip, ...]:
    return tuple(sorted(chips, key=lambda chip: (chip.index, chip.id)))


def _blank(columns: int, rows: int) -> Ints:
    return np.zeros((columns, rows), dtype=np.int64)


def _ints(values: Iterable[int]) -> Ints:
    known = values if isinstance(values, list) else list(values)
    return np.array(known, dtype=np.int64)
