"""What each queue's jobs hold against what they may hold. No borrowing: a limit is a limit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from scheduler.model import ANY, WHOLE, LimitHit, Snapshot


@dataclass(frozen=True, slots=True)
class Usage:
    """Limits and use of all queues that have limits, in thousandths of a chip."""

    limits: Mapping[str, Mapping[str, int]]
    used: Mapping[str, Mapping[str, int]]

    def left(self, queue: str, chip_type: str) -> int | None:
        """Thousandths of the type that the queue may still take; None: as many as there are."""
        limits = self.limits.get(queue)
        if not limits:
            return None
        used = self.used[queue]
        rooms = [limits[it] - used.get(it, 0) for it in (chip_type, ANY) if it in limits]
        return max(0, min(rooms)) if rooms else None

    def add(self, queue: str, charge: Mapping[str, int], sign: int = 1) -> Usage:
        """With the charge (chip type → thousandths) added to the queue's use, or taken off."""
        if not charge or queue not in self.limits:
            return self
        used = dict(self.used[queue])
        for chip_type, milli in charge.items():
            used[chip_type] = used.get(chip_type, 0) + sign * milli
            used[ANY] = used.get(ANY, 0) + sign * milli
        return Usage(self.limits, {**self.used, queue: used})

    def at_least(self, other: Usage, queue: str) -> Usage:
        """Counting what `other` counts for the queue, where that is more."""
        if queue not in self.limits:
            return self
        mine, theirs = self.used[queue], other.used[queue]
        most = {it: max(mine.get(it, 0), theirs.get(it, 0)) for it in mine.keys() | theirs.keys()}
        return Usage(self.limits, {**self.used, queue: most})

    def hit(self, queue: str, asked: Mapping[str, int]) -> LimitHit | None:
        """The limit that a charge would break: the tightest, by what is missing; None: none."""
        limits = self.limits.get(queue, {})
        whole = {**asked, ANY: sum(asked.values())}
        hits = [
            LimitHit(queue, name, limit, self.used[queue].get(name, 0), whole[name])
            for name, limit in sorted(limits.items())
            if name in whole and self.used[queue].get(name, 0) + whole[name] > limit
        ]
        return max(
            hits, key=lambda it: it.used_milli + it.asked_milli - it.limit_milli, default=None
        )


def used_now(snapshot: Snapshot) -> Usage:
    """What leases hold, those being released included."""
    return _usage(snapshot, with_releasing=True)


def used_later(snapshot: Snapshot) -> Usage:
    """What leases will hold once everything that is being released has come back."""
    return _usage(snapshot, with_releasing=False)


def no_limits() -> Usage:
    return Usage({}, {})


def unused(usage: Usage) -> Usage:
    """The same limits with nothing held."""
    return Usage(usage.limits, {queue: {} for queue in usage.limits})


def _usage(snapshot: Snapshot, with_releasing: bool) -> Usage:
    limits, used = {}, {}
    for queue in snapshot.queues:
        if not queue.limits:
            continue
        limits[queue.name] = {name: count * WHOLE for name, count in queue.limits.items()}
        held = dict(queue.used_milli)
        if not with_releasing:
            for chip_type, milli in queue.releasing_milli.items():
                held[chip_type] = held.get(chip_type, 0) - milli
        used[queue.name] = {**held, ANY: sum(held.values())}
    return Usage(limits, used)
