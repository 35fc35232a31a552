"""How many members of a gang fit on each node of a what-if, and which chips they take there.

No node is chosen here but by how tightly it would be packed: `gang` says how many are wanted,
`scoring` which chip types come first.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from scheduler.model import WHOLE, ChipId, MemberRequest
from scheduler.snapshot.host import member_share
from scheduler.snapshot.overlays import Ints, Overlay
from scheduler.snapshot.places import MANY, Places


@dataclass(frozen=True, slots=True)
class Take:
    """What one member takes of a node."""

    site: int
    chips: tuple[ChipId, ...]
    cores_milli: int
    memory_bytes: int


def takes(
    overlay: Overlay, places: Places, request: MemberRequest, most: int, want: int
) -> list[Take]:
    """At most `want` members, on few nodes: on the roomiest while one alone is too small, then on
    the tightest that holds the rest. `most` bounds what counts as roomy.
    """
    counts, preferences = _fitting(overlay, places, request, most)
    found: list[Take] = []
    while want and (roomiest := int(counts.max(initial=0))):
        among = np.flatnonzero(counts >= min(want, roomiest))
        at = _first(among, preferences)
        here = min(want, int(counts[at]))
        found += list(_fill(overlay, places, at, request, here))
        counts[at] = 0
        want -= here
    return found


def nodes_with_room(
    overlay: Overlay, places: Places, request: MemberRequest
) -> npt.NDArray[np.bool_]:
    """On which of the nodes at least one member fits."""
    counts, _ = _fitting(overlay, places, request, 1)
    return counts > 0


def _fitting(
    overlay: Overlay, places: Places, request: MemberRequest, most: int
) -> tuple[Ints, tuple[Ints, ...]]:
    """(members that fit on each node, what makes a node the better one: least comes first).

    Fewest leftover first: on the chip, of the type on the node, of the node's cores. Members
    without chips go where the fewest chips are free, so that chips keep their cores.
    """
    if request.chips and not len(places.rows):
        return np.zeros_like(places.sites), ()
    cores, memory = overlay.cores[places.sites], overlay.memory[places.sites]
    need_cores, need_memory = places.needs(request)
    counts = np.minimum(_times(cores, need_cores), _times(memory, need_memory))
    if not request.chips:
        layout = overlay.layout
        free = np.bincount(layout.site_of_row, overlay.chips, len(layout.sites))
        return np.clip(counts, 0, most), (free[places.sites].astype(np.int64), cores)
    chips = overlay.chips[places.rows]
    members = np.add.reduceat(chips // request.milli, places.starts) // request.chips
    counts = np.clip(np.minimum(counts, members), 0, most)
    for at in places.uneven:
        counts[at] = sum(1 for _ in _fill(overlay, places, at, request, most))
    left = np.add.reduceat(chips, places.starts)
    if request.milli == WHOLE:
        return counts, (left, cores)
    tight = np.where(chips >= request.milli, chips, WHOLE)
    return counts, (np.minimum.reduceat(tight, places.starts), left, cores)


def _times(free: Ints, need: Ints | int) -> Ints:
    """How often the need goes into what is free."""
    if isinstance(need, int) and not need:
        return np.where(free < 0, 0, MANY)
    return free // need


def _first(among: Ints, preferences: tuple[Ints, ...]) -> int:
    """The best by the first preference, among equals by the next; last by the node's place."""
    for values in preferences:
        if len(among) == 1:
            break
        mine = values[among]
        among = among[mine == mine.min()]
    return int(among[0])


def _fill(
    overlay: Overlay, places: Places, at: int, request: MemberRequest, most: int
) -> Iterator[Take]:
    """Members one after another until no more fit; on the fullest chips that still hold them."""
    site = int(places.sites[at])
    home, rows = overlay.layout.sites[site], places.rows_at(at)
    free = {row: int(overlay.chips[row]) for row in rows}
    cores_milli, memory_bytes = int(overlay.cores[site]), int(overlay.memory[site])
    for _ in range(most):
        chosen = [row for row in rows if free[row] >= request.milli]
        if len(chosen) < request.chips:
            return
        if request.milli < WHOLE:
            chosen.sort(key=lambda row: free[row])
        chosen = chosen[: request.chips]
        share = member_share(home.shares, [row - home.first for row in chosen], request)
        cores_milli -= share.cores_milli
        memory_bytes -= share.memory_bytes
        if cores_milli < 0 or memory_bytes < 0:
            return
        for row in chosen:
            free[row] -= request.milli
        chips = tuple(home.chips[row - home.first].id for row in chosen)
        yield Take(site, chips, share.cores_milli, share.memory_bytes)
