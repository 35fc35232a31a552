"""What is free in one what-if: columns over a layout, copied when something is taken or given."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from scheduler.model import RunningGang, Seat

if TYPE_CHECKING:
    from scheduler.snapshot.columns import Layout

Ints = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Room:
    """What is free on one node: thousandths of each chip, host cores, host memory."""

    chips: tuple[int, ...]
    cores_milli: int
    memory_bytes: int


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Overlay:
    """Thousandths by chip, core thousandths and bytes by site. Never changed in place."""

    layout: Layout
    chips: Ints
    cores: Ints
    memory: Ints

    def take(self, seats: Iterable[Seat]) -> Overlay:
        """Without what the seats take."""
        chips, cores, memory = self.chips.copy(), self.cores.copy(), self.memory.copy()
        for seat in seats:
            for chip, milli in seat.chips.items():
                chips[self.layout.row_of[chip]] -= milli
            site = self.layout.site_of[seat.node_id]
            cores[site] -= seat.cores_milli
            memory[site] -= seat.memory_bytes
        return Overlay(self.layout, chips, cores, memory)

    def give(self, gangs: Iterable[RunningGang]) -> Overlay:
        """With what the gangs would give back; never more than there is, since that may be counted
        as coming back already.
        """
        chips, cores, memory = self.chips.copy(), self.cores.copy(), self.memory.copy()
        row_of, site_of = self.layout.row_of, self.layout.site_of
        for gang in gangs:
            for chip, milli in gang.chips.items():
                if (row := row_of.get(chip)) is not None:
                    chips[row] += milli
            for node, share in gang.hosts.items():
                if (site := site_of.get(node)) is not None:
                    cores[site] += share.cores_milli
                    memory[site] += share.memory_bytes
        return Overlay(self.layout, chips, cores, memory).within(self.layout.empty)

    def within(self, other: Overlay) -> Overlay:
        """Nowhere more than the other has."""
        return Overlay(
            self.layout,
            np.minimum(self.chips, other.chips),
            np.minimum(self.cores, other.cores),
            np.minimum(self.memory, other.memory),
        )

    def room(self, site: int) -> Room:
        """What is free on one node."""
        home = self.layout.sites[site]
        chips = self.chips[home.first : home.first + len(home.chips)]
        return Room(tuple(chips.tolist()), int(self.cores[site]), int(self.memory[site]))
