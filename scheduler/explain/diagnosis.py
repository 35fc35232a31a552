"""Why a gang does not start: which constraint binds.

`impossible` asks whether it could start on this pool at all, `waiting` what is in its way now.
The figures behind the answer are counted in `counts`, its words are `explain`'s.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Final

from scheduler.explain.counts import blockers_of, host_short, removed_now, short_chips
from scheduler.model import Code, Gang, JobType, LimitHit, MemberRequest, Node, Reason, RunningGang
from scheduler.place.feasibility import PIPELINE, binding, survey
from scheduler.place.gang import State, best_seats, seat_gang
from scheduler.place.host import member_share
from scheduler.preempt import release
from scheduler.quota import Usage, no_limits, unused
from scheduler.snapshot.overlays import Index, Pool

MOST_BLOCKERS: Final = 10
_TOO_SMALL: Final = frozenset({Code.TOO_MANY_CHIPS, Code.HOST_CORES, Code.HOST_MEMORY})
_HOST: Final = frozenset({Code.HOST_CORES, Code.HOST_MEMORY})


def impossible(gang: Gang, empty: Pool, usage: Usage) -> Reason | None:
    """Why the gang could not start even if nothing ran; None if it could.

    `empty` is the pool as if nothing ran, `usage` what the queues hold now.
    """
    if not empty.index.nodes:
        return Reason(Code.NO_NODES)
    unlimited = State(empty, no_limits())
    seats = best_seats(gang, unlimited, {})
    if len(seats) < gang.least:
        return _too_small(gang, unlimited, len(seats))
    if seat_gang(gang, State(empty, unused(usage))) is not None:
        return None
    removed = survey(gang.request, empty.index).removed()
    limit = _limit(gang, empty, usage) or _limit(gang, empty, unused(usage))
    return Reason(Code.QUEUE_LIMIT, removed=removed, limit=limit)


def waiting(
    gang: Gang, now: State, later: State, empty: Pool, holders: Sequence[RunningGang]
) -> Reason:
    """What keeps the gang from starting beside what runs and what was placed before it.

    `later` is what can be had once everything that is being released has come back; `holders`
    are all gangs that hold something and are not being released.
    """
    found = survey(gang.request, empty.index).removed()
    removed = {**found, **removed_now(gang, now, later)}
    if seat_gang(gang, State(empty, later.usage)) is None:
        return Reason(Code.QUEUE_LIMIT, removed=removed, limit=_limit(gang, empty, now.usage))
    higher = [it for it in holders if it.priority > gang.priority]
    behind = bool(higher) and seat_gang(gang, release(later, higher)) is not None
    cause = Code.BEHIND_HIGHER_PRIORITY if behind else _cause(gang, later, removed)
    fit = len(best_seats(gang, now, gang.sibling_types))
    partly = gang.least > 1 and fit > 0
    blockers = blockers_of(gang, now.pool, higher if behind else holders)
    fit_later = len(best_seats(gang, later, gang.sibling_types))
    cores_milli, memory_bytes = host_short(gang, later.pool, fit_later)
    return Reason(
        Code.GANG_PARTLY_FITS if partly else cause,
        cause=cause if partly else None,
        removed=removed,
        members_fit=fit,
        short={} if cause in _HOST else short_chips(gang, later.pool),
        short_cores_milli=cores_milli if cause is Code.HOST_CORES else 0,
        short_memory_bytes=memory_bytes if cause is Code.HOST_MEMORY else 0,
        blockers=blockers[:MOST_BLOCKERS],
        num_blockers=len(blockers),
    )


def held_up(
    code: Code, gang: Gang, now: State, later: State, leaving: Sequence[RunningGang]
) -> Reason:
    """The wait for what the leaving gangs hold; seats are kept meanwhile."""
    blockers = blockers_of(gang, now.pool, leaving)
    return Reason(
        code,
        removed={
            **survey(gang.request, now.pool.index).removed(),
            **removed_now(gang, now, later),
        },
        members_fit=len(best_seats(gang, now, gang.sibling_types)),
        blockers=blockers[:MOST_BLOCKERS],
        num_blockers=len(blockers),
    )


def _too_small(gang: Gang, unlimited: State, fit: int) -> Reason:
    """Names the constraint without which an empty pool would do."""
    index = unlimited.pool.index
    found = survey(gang.request, index)
    code = _closed(gang, index) if not gang.request.chips else binding(gang, found)
    code = code or _host_code(gang, unlimited)
    partly = gang.type is JobType.TASK and fit > 0 and code in _TOO_SMALL
    return Reason(
        Code.GANG_PARTLY_FITS if partly else code,
        cause=code if partly else None,
        removed=found.removed() if gang.request.chips else {},
        members_fit=fit,
    )


def _closed(gang: Gang, index: Index) -> Code | None:
    """For members without chips: the first state whose nodes are needed; None: all are too few."""
    nodes = list(index.nodes)
    if _members_on(gang, nodes) < gang.least:
        return None
    for code in PIPELINE:
        nodes = [it for it in nodes if it.closed is None or it.closed.value != code.value]
        if _members_on(gang, nodes) < gang.least:
            return code
    return None


def _members_on(gang: Gang, nodes: Sequence[Node]) -> int:
    """Members without chips that these nodes would hold if nothing ran on them."""
    need = member_share((), (), gang.request)
    return sum(
        min(
            it.cores_milli // max(1, need.cores_milli),
            it.memory_bytes // max(1, need.memory_bytes),
        )
        for it in nodes
    )


def _host_code(gang: Gang, state: State) -> Code:
    """Whether host cores or host memory keeps the gang off: memory if it alone does."""
    weightless = replace(gang.request, host_memory_bytes=0)
    return Code.HOST_MEMORY if _fits_with(gang, weightless, state) else Code.HOST_CORES


def _cause(gang: Gang, later: State, removed: Mapping[Code, Mapping[str, int]]) -> Code:
    weightless = replace(gang.request, cores_milli=0, host_memory_bytes=0)
    if not gang.request.chips or _fits_with(gang, weightless, later):
        return _host_code(gang, later)
    return Code.SHARE if Code.SHARE in removed and Code.BUSY not in removed else Code.BUSY


def _fits_with(gang: Gang, request: MemberRequest, state: State) -> bool:
    return seat_gang(replace(gang, request=request), state) is not None


def _limit(gang: Gang, empty: Pool, usage: Usage) -> LimitHit | None:
    """The limit that the smallest start of this gang would break."""
    smallest = replace(gang, most=gang.least)
    seats = best_seats(smallest, State(empty, no_limits()), gang.sibling_types)
    return usage.hit(gang.queue, empty.index.charge(seats))
