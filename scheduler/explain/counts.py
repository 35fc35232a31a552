"""The figures behind a Reason: chips that are taken now, what would have to come free, and the
jobs that hold it. Which of them binds is `diagnosis`'s.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from operator import add

import numpy as np
import numpy.typing as npt

from scheduler.explain.reason import Blocker
from scheduler.model import WHOLE, Code, Gang, HostShare, MemberRequest, RunningGang
from scheduler.place.feasibility import eligible
from scheduler.place.fits import nodes_with_room
from scheduler.place.gang import Supply
from scheduler.snapshot.columns import Layout
from scheduler.snapshot.host import member_share
from scheduler.snapshot.overlays import Ints, Overlay
from scheduler.snapshot.places import Places

_ORDER = (
    Code.QUEUE_LIMIT, Code.BUSY, Code.WAITING_FOR_RELEASE, Code.SHARE, Code.HOST_CORES,
    Code.HOST_MEMORY, Code.TOO_MANY_CHIPS,
)  # fmt: skip
_FITS = len(_ORDER)


def removed_now(gang: Gang, now: Supply, later: Supply) -> dict[Code, Mapping[str, int]]:
    """Constraint → chip type → chips that could hold a member but cannot now.

    `too_many_chips` here: free, but not enough of them on one node for a member.
    """
    counts: dict[Code, dict[str, int]] = {}
    for chip_type, places in _by_type(gang, now.layout):
        left = now.usage.left(gang.queue, chip_type)
        if left is not None and left < gang.request.chips * gang.request.milli:
            counts.setdefault(Code.QUEUE_LIMIT, {})[chip_type] = len(places.rows)
            continue
        if not len(places.rows):
            continue
        obstacles = _obstacles(gang.request, places, now.overlay, later.overlay)
        for at, count in enumerate(np.bincount(obstacles, minlength=_FITS)[:_FITS].tolist()):
            if count:
                counts.setdefault(_ORDER[at], {})[chip_type] = count
    return {code: counts[code] for code in _ORDER if code in counts}


def short_chips(gang: Gang, overlay: Overlay) -> dict[str, int]:
    """Chip type → thousandths of its chips that would have to come free, alone, for `least`
    members.
    """
    fits, steps = {}, {}
    for chip_type, places in _by_type(gang, overlay.layout):
        free, have, need = _in_units(gang.request, overlay.chips[places.rows], places)
        fits[chip_type] = int((np.maximum(free, 0) // need).sum())
        unit = WHOLE if gang.request.milli == WHOLE else 1
        steps[chip_type] = [it * unit for it in _steps(free, have, need, gang.least)]
    missing = {it: gang.least - (sum(fits.values()) if gang.mix else fits[it]) for it in fits}
    return {
        chip_type: sum(found[: missing[chip_type]])
        for chip_type, found in steps.items()
        if 0 < missing[chip_type] <= len(found)
    }


def host_short(gang: Gang, overlay: Overlay, fit: int) -> tuple[int, int]:
    """Host core thousandths and bytes that would have to come free for `least` members, each
    taken by itself.
    """
    missing, empty = max(0, gang.least - fit), overlay.layout.empty
    cores, memory = list[int](), list[int]()
    for places in eligible(gang, overlay.layout).values():
        at = places.sites[places.chips_at >= gang.request.chips]
        need_cores, need_memory = _needs(gang.request, places)
        cores += _steps(overlay.cores[at], empty.cores[at], need_cores, missing)
        memory += _steps(overlay.memory[at], empty.memory[at], need_memory, missing)
    return sum(sorted(cores)[:missing]), sum(sorted(memory)[:missing])


def blockers_of(gang: Gang, layout: Layout, holders: Sequence[RunningGang]) -> tuple[Blocker, ...]:
    """The jobs among the holders that hold chips which the gang could use, or host cores beside
    them; highest priority first, then by name.
    """
    chips, nodes = _useful(gang, layout)
    by, rows = layout.held(holders)
    by, rows = by[chips[rows]], rows[chips[rows]]
    kinds = layout.types
    cells = by * len(kinds) + layout.type_of_row[rows]
    counts = np.bincount(cells, minlength=len(holders) * len(kinds)).reshape(len(holders), -1)
    names: dict[str, tuple[str, int]] = {}
    held: dict[str, list[int]] = {}
    for holder, own in zip(holders, counts.tolist(), strict=True):
        if any(own) or any(nodes[layout.site_of.get(node, -1)] for node in holder.hosts):
            names[holder.job_id] = holder.job_name, holder.priority
            before = held.get(holder.job_id)
            held[holder.job_id] = own if before is None else list(map(add, before, own))
    found = [
        Blocker(*names[job], {kind: n for kind, n in zip(kinds, own, strict=True) if n})
        for job, own in held.items()
    ]
    most = [it for it in found if it.chips] or found
    return tuple(sorted(most, key=lambda it: (-it.priority, it.job_name)))


def _by_type(gang: Gang, layout: Layout) -> list[tuple[str, Places]]:
    """The chip types that can hold a member, by name, with their places."""
    return [(kind, it) for kind, it in eligible(gang, layout).items() if kind is not None]


def _obstacles(request: MemberRequest, places: Places, now: Overlay, later: Overlay) -> Ints:
    """The place in `_ORDER` of what keeps a member off each of these chips; _FITS: nothing does."""
    free = now.chips[places.rows]
    busy = Code.SHARE if request.milli < WHOLE else Code.BUSY
    taken = np.where(free > 0, _ORDER.index(busy), _ORDER.index(Code.BUSY))
    back = later.chips[places.rows] >= request.milli
    taken[back] = _ORDER.index(Code.WAITING_FOR_RELEASE)
    crowded = np.full_like(places.sites, _FITS)
    some_free = np.maximum.reduceat(free, places.starts) >= request.milli
    for number in np.flatnonzero(some_free & ~nodes_with_room(now, places, request)).tolist():
        crowded[number] = _ORDER.index(_crowded(request, places, number, now))
    return np.where(free < request.milli, taken, np.repeat(crowded, places.chips_at))


def _crowded(request: MemberRequest, places: Places, number: int, overlay: Overlay) -> Code:
    """Why no member fits beside the free chips of a node."""
    site, rows = int(places.sites[number]), places.rows_at(number)
    free = [row for row in rows if overlay.chips[row] >= request.milli]
    if len(free) < request.chips:
        return Code.TOO_MANY_CHIPS
    need = _share(places, site, free[: request.chips], request)
    return Code.HOST_CORES if need.cores_milli > overlay.cores[site] else Code.HOST_MEMORY


def _in_units(request: MemberRequest, free: Ints, places: Places) -> tuple[Ints, Ints, int]:
    """(free, all there is, what a member needs) of each place where members are counted: whole
    chips by node, or thousandths by chip.
    """
    if request.milli < WHOLE:
        return free, np.full_like(free, WHOLE), request.milli
    if not len(free):
        return free, free, request.chips
    return np.add.reduceat(free // WHOLE, places.starts), places.chips_at, request.chips


def _steps(free: Ints, total: Ints, need: Ints | int, most: int) -> list[int]:
    """What must come free for each further member that the total would hold: the `most` least."""
    need = np.broadcast_to(need, total.shape)
    free, total, need = free[need > 0], total[need > 0], need[need > 0]
    further = total // need - np.maximum(free, 0) // need
    first = (need - free % need)[further > 0]
    rest = np.repeat(need, np.clip(further - 1, 0, most))
    found: list[int] = np.sort(np.concatenate([first, rest]))[:most].tolist()
    return found


def _needs(request: MemberRequest, places: Places) -> tuple[Ints, Ints]:
    """Host cores and memory of a member on each node that has chips enough for one."""
    enough = places.chips_at >= request.chips
    cores, memory = (np.broadcast_to(it, enough.shape).copy() for it in places.needs(request))
    for number in places.uneven:
        chosen = places.rows_at(number)[: request.chips]
        share = _share(places, int(places.sites[number]), chosen, request)
        cores[number], memory[number] = share.cores_milli, share.memory_bytes
    return cores[enough], memory[enough]


def _share(places: Places, site: int, rows: Sequence[int], request: MemberRequest) -> HostShare:
    """What a member at these chips of a node takes of it."""
    home = places.layout.sites[site]
    return member_share(home.shares, [row - home.first for row in rows], request)


def _useful(gang: Gang, layout: Layout) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_]]:
    """Rows of chips that could hold a member, and nodes where members could sit; the last of each
    stands for what is not in the layout.
    """
    chips = np.zeros(len(layout.chips) + 1, dtype=bool)
    nodes = np.zeros(len(layout.sites) + 1, dtype=bool)
    for places in eligible(gang, layout).values():
        chips[places.rows], nodes[places.sites] = True, True
    return chips, nodes
