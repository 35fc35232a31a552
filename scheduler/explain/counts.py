"""The figures behind a Reason: chips that are taken now, what would have to come free, and the
jobs that hold it. Which of them binds is `diagnosis`'s.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from scheduler.model import WHOLE, Blocker, ChipId, Code, Gang, HostShare, RunningGang
from scheduler.place.fits import Place, board
from scheduler.place.gang import State
from scheduler.place.host import member_share
from scheduler.place.scoring import candidates
from scheduler.snapshot.overlays import Pool, Room

_ORDER = (
    Code.QUEUE_LIMIT, Code.BUSY, Code.WAITING_FOR_RELEASE, Code.SHARE, Code.HOST_CORES,
    Code.HOST_MEMORY, Code.TOO_MANY_CHIPS,
)  # fmt: skip


def removed_now(gang: Gang, now: State, later: State) -> dict[Code, Mapping[str, int]]:
    """Constraint → chip type → chips that could hold a member but cannot now.

    `too_many_chips` here: free, but not enough of them on one node for a member.
    """
    counts: dict[Code, Counter[str]] = {}
    for chip_type in _types(gang, now.pool):
        left = now.usage.left(gang.queue, chip_type)
        limited = left is not None and left < gang.request.chips * gang.request.milli
        offers = board(now.pool, gang.request, chip_type, gang.most).offers(now.pool)
        for site, positions in _places(gang, now.pool, chip_type):
            rooms = (now.pool.rooms[site], later.pool.rooms[site])
            for position in positions:
                code = Code.QUEUE_LIMIT if limited else _taken(gang, position, *rooms)
                if code is None and site not in offers:
                    code = _crowded(gang, now.pool, site, positions)
                if code is not None:
                    counts.setdefault(code, Counter())[chip_type] += 1
    return {code: dict(counts[code]) for code in _ORDER if code in counts}


def short_chips(gang: Gang, pool: Pool) -> dict[str, int]:
    """Chip type → thousandths of its chips that would have to come free, alone, for `least`
    members.
    """
    per_type = {it: _chip_steps(gang, pool, it) for it in _types(gang, pool)}
    fit_anywhere = sum(fit for fit, _ in per_type.values())
    short = {}
    for chip_type, (fit, steps) in per_type.items():
        missing = gang.least - (fit_anywhere if gang.mix else fit)
        if 0 < missing <= len(steps):
            short[chip_type] = sum(steps[:missing])
    return short


def host_short(gang: Gang, pool: Pool, fit: int) -> tuple[int, int]:
    """Host core thousandths and bytes that would have to come free for `least` members, each
    taken by itself.
    """
    cores: list[int] = []
    memory: list[int] = []
    for site, need in _needs(gang, pool):
        room = pool.rooms[site]
        node = pool.index.sites[site].node
        cores += _steps(room.cores_milli, node.cores_milli, need.cores_milli)
        memory += _steps(room.memory_bytes, node.memory_bytes, need.memory_bytes)
    missing = max(0, gang.least - fit)
    return sum(sorted(cores)[:missing]), sum(sorted(memory)[:missing])


def blockers_of(gang: Gang, pool: Pool, holders: Iterable[RunningGang]) -> tuple[Blocker, ...]:
    """The jobs among the holders that hold chips which the gang could use, or host cores beside
    them; highest priority first, then by name.
    """
    chips, nodes = _useful(gang, pool)
    found: dict[str, Blocker] = {}
    for holder in holders:
        held = Counter(chips[it] for it in holder.chips if it in chips)
        if not held and not any(node in nodes for node in holder.hosts):
            continue
        known = found.get(holder.job_id, Blocker(holder.job_name, holder.priority))
        total = Counter(known.chips) + held
        found[holder.job_id] = replace(known, chips=dict(sorted(total.items())))
    most = [it for it in found.values() if it.chips] or list(found.values())
    return tuple(sorted(most, key=lambda it: (-it.priority, it.job_name)))


def _types(gang: Gang, pool: Pool) -> list[str]:
    """The candidate chip types, by name."""
    found = candidates(gang, pool.index, {})
    return sorted(it.chip_type for it in found if it.chip_type is not None)


def _places(gang: Gang, pool: Pool, chip_type: str | None) -> Sequence[Place]:
    return board(pool, gang.request, chip_type, gang.most).places


def _taken(gang: Gang, position: int, now: Room, later: Room) -> Code | None:
    free = now.chips[position]
    if free >= gang.request.milli:
        return None
    if later.chips[position] >= gang.request.milli:
        return Code.WAITING_FOR_RELEASE
    return Code.SHARE if free > 0 and gang.request.milli < WHOLE else Code.BUSY


def _crowded(gang: Gang, pool: Pool, site: int, positions: Sequence[int]) -> Code:
    """Why no member fits on a node that has free chips."""
    room, request = pool.rooms[site], gang.request
    free = [it for it in positions if room.chips[it] >= request.milli]
    if len(free) < request.chips:
        return Code.TOO_MANY_CHIPS
    need = member_share(pool.index.sites[site].shares, free[: request.chips], request)
    return Code.HOST_CORES if need.cores_milli > room.cores_milli else Code.HOST_MEMORY


def _chip_steps(gang: Gang, pool: Pool, chip_type: str) -> tuple[int, list[int]]:
    """(members that the free chips hold, thousandths of chips to free for each further member,
    least first).
    """
    fit, steps, request = 0, list[int](), gang.request
    for site, positions in _places(gang, pool, chip_type):
        free = [pool.rooms[site].chips[it] for it in positions]
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


def _needs(gang: Gang, pool: Pool) -> Iterable[tuple[int, HostShare]]:
    """(site, what a member takes of the host there), for the sites where one could sit."""
    for candidate in candidates(gang, pool.index, {}):
        for site, positions in _places(gang, pool, candidate.chip_type):
            if len(positions) >= gang.request.chips:
                chosen = positions[: gang.request.chips]
                yield site, member_share(pool.index.sites[site].shares, chosen, gang.request)


def _useful(gang: Gang, pool: Pool) -> tuple[Mapping[ChipId, str], set[str]]:
    """Chips that could hold a member, with their types, and the nodes where members could sit."""
    chips: dict[ChipId, str] = {}
    nodes: set[str] = set()
    for candidate in candidates(gang, pool.index, {}):
        for site, positions in _places(gang, pool, candidate.chip_type):
            home = pool.index.sites[site]
            nodes.add(home.node.id)
            chips.update((home.chips[it].id, home.chips[it].type) for it in positions)
    return chips, nodes
