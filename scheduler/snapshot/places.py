"""The chips of some makes by node: where members of one request could sit, and how many if nothing
ran. Without makes: open nodes, for members that ask for no chip.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from scheduler.model import WHOLE, HostShare, MemberRequest
from scheduler.snapshot.host import member_share
from scheduler.snapshot.overlays import Ints

if TYPE_CHECKING:
    from scheduler.snapshot.columns import Layout

MANY = 2**62


class Places:
    """`rows` are the usable chips in order, `sites` their nodes, `starts` where in `rows` the
    chips of each node begin, `chips_at` how many there are.
    """

    def __init__(self, layout: Layout, makes: tuple[int, ...] | None) -> None:
        self.layout = layout
        self.makes = makes
        self._known_shares: dict[tuple[int, int], tuple[Ints, Ints]] = {}
        if makes is None:
            self.rows, self.starts = np.array([], dtype=np.int64), np.array([], dtype=np.int64)
            self.sites: Ints = np.flatnonzero(layout.open)
            self.chips_at: Ints = np.zeros_like(self.sites)
            return
        mine = np.isin(layout.make_of_row, makes)
        self.rows = np.flatnonzero(mine & (layout.empty.chips > 0))
        self.sites, self.starts = np.unique(layout.site_of_row[self.rows], return_index=True)
        self.chips_at = np.diff(np.append(self.starts, len(self.rows)))

    def rows_at(self, number: int) -> Sequence[int]:
        """The chips of the node of that number."""
        if self.makes is None:
            return ()
        end = self.starts[number + 1] if number + 1 < len(self.starts) else len(self.rows)
        return [int(row) for row in self.rows[self.starts[number] : end]]

    @cached_property
    def uneven(self) -> frozenset[int]:
        """Numbers of nodes whose chips take different shares of the host."""
        if not len(self.rows):
            return frozenset()
        shares = (self.layout.share_cores[self.rows], self.layout.share_memory[self.rows])
        least = [np.minimum.reduceat(it, self.starts) for it in shares]
        most = [np.maximum.reduceat(it, self.starts) for it in shares]
        return frozenset(np.flatnonzero((least[0] < most[0]) | (least[1] < most[1])).tolist())

    def needs(self, request: MemberRequest) -> tuple[Ints | int, Ints | int]:
        """Host cores and memory that a member takes on each node; one number where it is the same
        on all of them. Where it varies it is never nothing, so that it can be divided by.
        """
        if not request.chips:
            share = member_share((), (), request)
            return share.cores_milli, share.memory_bytes
        cores, memory = self._shares(request.chips, request.milli)
        return (
            cores if request.cores_milli is None else request.cores_milli,
            memory if request.host_memory_bytes is None else request.host_memory_bytes,
        )

    def _shares(self, chips: int, milli: int) -> tuple[Ints, Ints]:
        """What so many chips, or such a part of one, take of the host."""
        if (chips, milli) not in self._known_shares:
            first = self.rows[self.starts]
            cores, memory = self.layout.share_cores[first], self.layout.share_memory[first]
            if milli == WHOLE:
                cores, memory = cores * chips, memory * chips
            else:
                part = cores * milli // WHOLE
                cores, memory = np.maximum(np.minimum(cores, 1), part), memory * milli // WHOLE
            self._known_shares[chips, milli] = np.maximum(cores, 1), np.maximum(memory, 1)
        return self._known_shares[chips, milli]

    @cached_property
    def _alike(self) -> Sequence[Sequence[int]]:
        """(chips, host cores, host memory, cores and memory that a chip takes, nodes that are like
        that), the nodes with most chips first.
        """
        empty, layout, none = self.layout.empty, self.layout, np.zeros_like(self.sites)
        first = self.rows[self.starts]
        cores = none if self.makes is None else layout.share_cores[first]
        memory = none if self.makes is None else layout.share_memory[first]
        table = (self.chips_at, empty.cores[self.sites], empty.memory[self.sites], cores, memory)
        kinds, nodes = np.unique(np.stack(table), axis=1, return_counts=True)
        found: Sequence[Sequence[int]] = np.vstack([kinds, nodes]).T[::-1].tolist()
        return found

    def hold_if_empty(self, request: MemberRequest, members: int) -> bool:
        """Whether so many members would fit if nothing ran. Not for uneven nodes."""
        for chips, cores, memory, share_cores, share_memory, nodes in self._alike:
            share = HostShare(share_cores, share_memory)
            need = member_share((share,), (0,) * request.chips, request)
            fit = MANY if not request.chips else chips * (WHOLE // request.milli) // request.chips
            if need.cores_milli:
                fit = min(fit, cores // need.cores_milli)
            if need.memory_bytes:
                fit = min(fit, memory // need.memory_bytes)
            members -= fit * nodes
            if members <= 0:
                return True
        return False

    def members_in_inventory(self, request: MemberRequest) -> int:
        """Members that all chips of these makes on nodes that are not retired could hold, whatever
        else is wanted of their hosts.
        """
        return int((self._inventory // request.chips).sum()) * (WHOLE // request.milli)

    @cached_property
    def _inventory(self) -> Ints:
        """How many of the chips each node has, in whatever state."""
        rows = self.layout.in_inventory
        mine = rows[np.isin(self.layout.make_of_row[rows], self.makes or ())]
        return np.unique(self.layout.site_of_row[mine], return_counts=True)[1]
