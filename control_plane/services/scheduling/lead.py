"""Leadership as a row with an epoch: one scheduler decides, late writes are refused.

Whose turn it is, everybody finds out by observation (`leader_watch`). The epoch makes it safe:
even two who both believe to lead write under different ones, and the lower one is refused.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from functools import partial

from control_plane.errors import Conflict
from control_plane.services.deps import Deps
from control_plane.store.database.engine import Lane
from control_plane.store.leader_watch import LeaderWatch, Seen
from control_plane.store.models import Leader
from control_plane.store.unit_of_work import Transaction

SCHEDULER = "scheduler"
NOBODY = ""
_STEP = timedelta(milliseconds=1)


@dataclass(frozen=True, slots=True)
class Candidate:
    """Who would lead, for how long without a renewal. `alone`: no other process can be there."""

    holder: str
    term_s: float
    alone: bool = False


def look_at_leader(deps: Deps, watch: LeaderWatch, now_s: float) -> Seen | None:
    """What the row says; `watch` has seen it then."""
    with deps.store.read(Lane.HEALTH) as tx:
        row = tx.leaders.get(SCHEDULER)
        seen = None if row is None else Seen(row.holder, row.epoch, row.expires_at)
    watch.see(seen, now_s)
    return seen


def try_to_lead(deps: Deps, me: Candidate, watch: LeaderWatch, now_s: float) -> int | None:
    """The epoch under which I lead for a term from `now_s` on, or None.

    Epochs only grow: each change of leader takes the next one. Not a serial transaction: whoever
    holds the writers' lock, frozen, keeps nobody from leading.
    """
    seen = look_at_leader(deps, watch, now_s)
    is_mine = seen is None or seen.holder == me.holder or me.alone
    if not is_mine and not watch.is_free(now_s, me.term_s):
        return None
    written = deps.run(partial(_write, deps=deps, me=me, seen=seen), serial=False)
    if written is None:
        return None
    watch.see(written, now_s)
    return written.epoch


def resign(deps: Deps, holder: str) -> None:
    """Lets another take over at once, on a clean stop."""
    deps.run(partial(_resign, deps=deps, holder=holder), serial=False)


def check_leads(tx: Transaction, epoch: int) -> None:
    """Raises Conflict when `epoch` is not the leader's any more. Part of every commit: nobody takes
    over between this look and the commit, on PostgreSQL by a lock of the row.
    """
    row = tx.leaders.get_for_commit(SCHEDULER)
    if row is None or row.epoch != epoch:
        raise Conflict("deposed", epoch=epoch)


def _write(tx: Transaction, deps: Deps, me: Candidate, seen: Seen | None) -> Seen | None:
    """None where another was faster. The mark is a time for the sake of older versions only, and
    moves on whatever the clock does.
    """
    mark = deps.clock.now() + timedelta(seconds=me.term_s)
    if seen is None:
        if tx.leaders.get(SCHEDULER) is not None:
            return None
        tx.leaders.add(Leader(name=SCHEDULER, holder=me.holder, epoch=1, expires_at=mark))
        return Seen(me.holder, 1, mark)
    mark = max(mark, seen.mark + _STEP)
    written = Seen(me.holder, seen.epoch + (seen.holder != me.holder), mark)
    changed = tx.leaders.move(
        SCHEDULER,
        (seen.epoch, seen.mark),
        holder=written.holder,
        epoch=written.epoch,
        expires_at=mark,
    )
    return written if changed else None


def _resign(tx: Transaction, deps: Deps, holder: str) -> None:
    row = tx.leaders.get(SCHEDULER)
    if row is not None and row.holder == holder:
        was = (row.epoch, row.expires_at)
        tx.leaders.move(SCHEDULER, was, holder=NOBODY, expires_at=deps.clock.now())
