"""The figures behind a Reason: chips that are taken now, what would have to come free, and the
jobs that hold it. Which of them binds is `diagnosis`'s.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from scheduler.explain.reason import Blocker
from scheduler.model import WHOLE, ChipId, Code, Gang, HostShare, RunningGang
from scheduler.place.feasibility import eligible
from scheduler.place.fits import sites_with_room
from scheduler.place.gang import Supply
from scheduler.snapshot.columns import Layout
from scheduler.snapshot.host import member_share
from scheduler.snapshot.overlays import Overlay, Room
from scheduler.snapshot.places import Places

_ORDER = (
    Code.QUEUE_LIMIT, Code.BUSY, Code.WAITING_FOR_RELEASE, Code.SHARE, Code.HOST_CORES,
    Code.HOST_MEMORY, Code.TOO_MANY_CHIPS,
)  # fmt: skip


def removed_now(gang: Gang, now: Supply, later: Supply) -> dict[Code, Mapping[str, int]]:
    """Constraint → chip type → chips that could hold a member but cannot now.

    `too_many_chips` here: free, but not enough of them on one node for a member.
    """
    counts: dict[Code, Counter[str]] = {}
    for chip_type, places in _by_type(gang, now.layout):
        left = now.usage.left(gang.queue, chip_type)
        limited = left is not None and left < gang.request.chips * gang.request.milli
        roomy = sites_with_room(now.overlay, places, gang.request)
        for site, positions in places.by_site():
            rooms = (now.overlay.room(site), later.overlay.room(site))
            for position in positions:
                code = Code.QUEUE_LIMIT if limited else _taken(gang, position, *rooms)
                if code is None and site not in roomy:
                    code = _crowded(gang, now.overlay, site, positions)
                if code is not None:
                    counts.setdefault(code, Counter())[chip_type] += 1
    return {code: dict(counts[code]) for code in _ORDER if code in counts}


def short_chips(gang: Gang, overlay: Overlay) -> dict[str, int]:
    """Chip type → thousandths of its chips that would have to come free, alone, for `least`
    members.
    """
    per_type = {
        chip_type: _chip_steps(gang, overlay, places)
        for chip_type, places in _by_type(gang, overlay.layout)
    }
    fit_anywhere = sum(fit for fit, _ in per_type.values())
    short = {}
    for chip_type, (fit, steps) in per_type.items():
        missing = gang.least - (fit_anywhere if gang.mix else fit)
        if 0 < missing <= len(steps):
            short[chip_type] = sum(steps[:missing])
    return short


def host_short(gang: Gang, overlay: Overlay, fit: int) -> tuple[int, int]:
    """Host core thousandths and bytes that would have to come free for `least` members, each
    taken by itself.
    """
    cores: list[int] = []
    memory: list[int] = []
    for site, need in _needs(gang, overlay.layout):
        room = overlay.room(site)
        node = overlay.layout.sites[site].node
        cores += _steps(room.cores_milli, node.cores_milli, need.cores_milli)
        memory += _steps(room.memory_bytes, node.memory_bytes, need.memory_bytes)
    missing = max(0, gang.least - fit)
    return sum(sorted(cores)[:missing]), sum(sorted(memory)[:missing])


def blockers_of(gang: Gang, layout: Layout, holders: Iterable[RunningGang]) -> tuple[Blocker, ...]:
    """The jobs among the holders that hold chips which the gang could use, or host cores beside
    them; highest priority first, then by name.
    """
    chips, nodes = _useful(gang, layout)
    names: dict[str, tuple[str, int]] = {}
    held: dict[str, dict[str, int]] = {}
    for holder in holders:
        kinds = [chips[it] for it in holder.chips if it in chips]
        if kinds or any(node in nodes for node in holder.hosts):
            names[holder.job_id] = holder.job_name, holder.priority
            counts = held.setdefault(holder.job_id, {})
            for kind in kinds:
                counts[kind] = counts.get(kind, 0) + 1
    found = [Blocker(*names[job], dict(sorted(counts.items()))) for job, counts in held.items()]
    most = [it for it in found if it.chips] or found
    return tuple(sorted(most, key=lambda it: (-it.priority, it.job_name)))


def _by_type(gang: Gang, layout: Layout) -> list[tuple[str, Places]]:
    """The chip types that can hold a member, by name, with their places."""
    return [(kind, it) for kind, it in eligible(gang, layout).items() if kind is not None]


def _taken(gang: Gang, position: int, now: Room, later: Room) -> Code | None:
    free = now.chips[position]
    if free >= gang.request.milli:
        return None
    if later.chips[position] >= gang.request.milli:
        return Code.WAITING_FOR_RELEASE
    return Code.SHARE if free > 0 and gang.request.milli < WHOLE else Code.BUSY


def _crowded(gang: Gang, overlay: Overlay, site: int, positions: Sequence[int]) -> Code:
    """Why no member fits on a node that has free chips."""
    room, request = overlay.room(site), gang.request
    free = [it for it in positions if room.chips[it] >= request.milli]
    if len(free) < request.chips:
        return Code.TOO_MANY_CHIPS
    need = member_share(overlay.layout.sites[site].shares, free[: request.chips], request)
    return Code.HOST_CORES if need.cores_milli > room.cores_milli else Code.HOST_MEMORY


def _chip_steps(gang: Gang, overlay: Overlay, places: Places) -> tuple[int, list[int]]:
    """(members that the free chips hold, thousandths of chips to free for each further member,
    least first).
    """
    fit, steps, request = 0, list[int](), gang.request
    for site, positions in places.by_site():
        room = overlay.room(site)
        free = [room.chips[it] for it in positions]
        if request.milli < WHOLE:
            fit += sum(it // request.milli for it in free)
            steps += [step for it in free for step in _steps(it, WHOLE, request.milli)]
            continue
        whole = sum(it // WHOLE for it in free)
        fit += whole // request.chips
        further = _steps(whole, len(positions), request.chips)
        steps += [chips * WHOLE for chips in further]
    return fit, sorted(steps)


def _steps(free: int, total: int, need: int) -> list[int]:
    """What must come free for each further member that the total would hold."""
    if need <= 0:
        return []
    further = total // need - max(0, free) // need
    return [need - free % need if first else need for first in [True] + [False] * (further - 1)][
        : max(0, further)
    ]


def _needs(gang: Gang, layout: Layout) -> Iterable[tuple[int, HostShare]]:
    """(site, what a member takes of the host there), for the sites where one could sit."""
    for places in eligible(gang, layout).values():
        for site, positions in places.by_site():
            if len(positions) >= gang.request.chips:
                chosen = positions[: gang.request.chips]
                yield site, member_share(layout.sites[site].shares, chosen, gang.request)


def _useful(gang: Gang, layout: Layout) -> tuple[Mapping[ChipId, str], set[str]]:
    """Chips that could hold a member, with their types, and the nodes where members could sit."""
    chips: dict[ChipId, str] = {}
    nodes: set[str] = set()
    for places in eligible(gang, layout).values():
        for site, positions in places.by_site():
            home = layout.sites[site]
            nodes.add(home.node.id)
            chips.update((home.chips[it].id, home.chips[it].type) for it in positions)
    return chips, nodes
