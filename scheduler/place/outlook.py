"""A quick look before a search: what a what-if has at most. What it rules out needs no search, and
since what is free only shrinks as a plan goes on, an old look is still right.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from scheduler.model import WHOLE, Gang
from scheduler.place.feasibility import Eligible
from scheduler.snapshot.host import member_share
from scheduler.snapshot.overlays import Overlay
from scheduler.snapshot.places import Places


@dataclass(frozen=True, slots=True)
class Peak:
    """The most that is free of some chips and beside them; `least` of the fullest chip."""

    chips: int = 0
    together: int = 0
    """Whole chips on one node."""
    total: int = 0
    chip: int = 0
    least: int = 0
    cores_milli: int = 0
    memory_bytes: int = 0


class Outlook:
    """What one overlay has at most."""

    def __init__(self, overlay: Overlay) -> None:
        self.overlay = overlay
        self._peaks: dict[Places, Peak] = {}
        self._host: tuple[int, int] | None = None

    def rules_out(
        self, gang: Gang, eligible: Eligible, *, members: int | None = None, with_host: bool = True
    ) -> bool:
        """Whether so many members, `least` of them if nothing is said, certainly do not fit; their
        host is looked at or not.
        """
        request = gang.request
        if not request.chips:
            need = member_share((), (), request)
            cores_milli, memory_bytes = self._most_of_host()
            return need.cores_milli > cores_milli or need.memory_bytes > memory_bytes
        total = most = 0
        for places in eligible.values():
            peak = self.peak(places)
            if peak.chip < request.milli or peak.together < request.chips > 1:
                continue
            if with_host and (
                (request.cores_milli or 0) > peak.cores_milli
                or (request.host_memory_bytes or 0) > peak.memory_bytes
            ):
                continue
            here = peak.chips if request.milli == WHOLE else peak.total // request.milli
            total += here // request.chips
            most = max(most, here // request.chips)
        return (total if gang.mix else most) < (gang.least if members is None else members)

    def peak(self, places: Places) -> Peak:
        if (known := self._peaks.get(places)) is None:
            known = self._peaks[places] = _peak(self.overlay, places)
        return known

    def _most_of_host(self) -> tuple[int, int]:
        if self._host is None:
            cores, memory = self.overlay.cores, self.overlay.memory
            self._host = int(cores.max(initial=-1)), int(memory.max(initial=-1))
        return self._host


def _peak(overlay: Overlay, places: Places) -> Peak:
    if not len(places.rows):
        return Peak()
    free = overlay.chips[places.rows]
    whole = np.add.reduceat(free // WHOLE, places.starts)
    there = places.sites[np.maximum.reduceat(free, places.starts) > 0]
    return Peak(
        int(whole.sum()),
        int(whole.max()),
        int(free.sum()),
        int(free.max()),
        int(free.min()),
        int(overlay.cores[there].max(initial=-1)),
        int(overlay.memory[there].max(initial=-1)),
    )
