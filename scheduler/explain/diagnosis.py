"""Why a gang does not start at its turn: the constraint that binds, with the figures behind it.

`plan` decides with a code; here the same gang is looked at once more, on demand. The figures are
counted in `counts`, the words are `sentences`'.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Final

from scheduler.explain.counts import blockers_of, host_short, removed_now, short_chips
from scheduler.explain.reason import Reason
from scheduler.model import Code, Gang, JobType, LimitHit, RunningGang
from scheduler.place.feasibility import Survey
from scheduler.place.gang import Supply, best_seats, could_start, seat_gang
from scheduler.place.obstacle import fits_but_for_its_host, host_code, obstacle_when_empty
from scheduler.plan import TOO_SMALL, Draft
from scheduler.quota import Usage, unused

MOST_BLOCKERS: Final = 10
_HOST: Final = frozenset({Code.HOST_CORES, Code.HOST_MEMORY})


def diagnose(draft: Draft, gang: Gang) -> Reason | None:
    """Decides the gang, whose turn it is, and says why it waits; None if it starts."""
    now, later, num_victims = draft.now, draft.later, len(draft.victims)
    leaving, holders = draft.leaving(), draft.holders()
    survey = Survey(gang, draft.layout, draft.snapshot.vendors)
    code = draft.decide(gang)
    if code is None:
        return None
    if code is Code.BACKING_OFF:
        return Reason(code, until=gang.not_before)
    if code is Code.WAITING_FOR_RELEASE:
        return _held_up(code, gang, now, later, leaving, survey)
    if code is Code.PREEMPTING:
        victims = draft.victims[num_victims:]
        return _held_up(code, gang, now, later.give(victims), victims, survey)
    reason = _impossible(gang, draft.empty, now.usage, survey)
    return reason or _waiting(gang, now, later, draft.empty, holders, survey)


def _impossible(gang: Gang, empty: Supply, usage: Usage, survey: Survey) -> Reason | None:
    """Why the gang could not start even if nothing ran; None if it could."""
    if not empty.layout.sites:
        return Reason(Code.NO_NODES)
    if not could_start(gang, empty):
        return _too_small(gang, empty, survey)
    if seat_gang(gang, replace(empty, usage=unused(usage))) is not None:
        return None
    limit = _limit(gang, empty, usage) or _limit(gang, empty, unused(usage))
    return Reason(Code.QUEUE_LIMIT, removed=survey.removed(), limit=limit)


def _waiting(
    gang: Gang,
    now: Supply,
    later: Supply,
    empty: Supply,
    holders: Sequence[RunningGang],
    survey: Survey,
) -> Reason:
    """What keeps the gang from starting beside what runs and what was placed before it."""
    removed = {**survey.removed(), **removed_now(gang, now, later)}
    if seat_gang(gang, replace(empty, usage=later.usage)) is None:
        return Reason(Code.QUEUE_LIMIT, removed=removed, limit=_limit(gang, empty, now.usage))
    higher = [it for it in holders if it.priority > gang.priority]
    behind = bool(higher) and seat_gang(gang, later.give(higher)) is not None
    cause = Code.BEHIND_HIGHER_PRIORITY if behind else _cause(gang, later, removed)
    fit = len(best_seats(gang, now, gang.sibling_types))
    partly = gang.least > 1 and fit > 0
    blockers = blockers_of(gang, now.layout, higher if behind else holders)
    fit_later = len(best_seats(gang, later, gang.sibling_types))
    of_host = host_short(gang, later.overlay, fit_later) if cause in _HOST else (0, 0)
    return Reason(
        Code.GANG_PARTLY_FITS if partly else cause,
        cause=cause if partly else None,
        removed=removed,
        members_fit=fit,
        short={} if cause in _HOST else short_chips(gang, later.overlay),
        short_cores_milli=of_host[0] if cause is Code.HOST_CORES else 0,
        short_memory_bytes=of_host[1] if cause is Code.HOST_MEMORY else 0,
        blockers=blockers[:MOST_BLOCKERS],
        num_blockers=len(blockers),
    )


def _held_up(
    code: Code,
    gang: Gang,
    now: Supply,
    later: Supply,
    leaving: Sequence[RunningGang],
    survey: Survey,
) -> Reason:
    """The wait for what the leaving gangs hold; seats are kept meanwhile."""
    blockers = blockers_of(gang, now.layout, leaving)
    return Reason(
        code,
        removed={**survey.removed(), **removed_now(gang, now, later)},
        members_fit=len(best_seats(gang, now, gang.sibling_types)),
        blockers=blockers[:MOST_BLOCKERS],
        num_blockers=len(blockers),
    )


def _too_small(gang: Gang, empty: Supply, survey: Survey) -> Reason:
    """Names the constraint without which an empty pool would do."""
    code, fit = obstacle_when_empty(gang, empty, survey), len(best_seats(gang, empty, {}))
    partly = gang.type is JobType.TASK and fit > 0 and code in TOO_SMALL
    return Reason(
        Code.GANG_PARTLY_FITS if partly else code,
        cause=code if partly else None,
        removed=survey.removed() if gang.request.chips else {},
        members_fit=fit,
    )


def _cause(gang: Gang, later: Supply, removed: Mapping[Code, Mapping[str, int]]) -> Code:
    if not gang.request.chips or fits_but_for_its_host(gang, later):
        return host_code(gang, later)
    return Code.SHARE if Code.SHARE in removed and Code.BUSY not in removed else Code.BUSY


def _limit(gang: Gang, empty: Supply, usage: Usage) -> LimitHit | None:
    """The limit that the smallest start of this gang would break."""
    smallest = replace(gang, most=gang.least)
    seats = best_seats(smallest, empty, gang.sibling_types)
    return usage.hit(gang.queue, empty.layout.charge(seats))
