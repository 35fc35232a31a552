"""The figures of the pool and the queues that metrics are made of, in one read."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from control_plane.services.deps import Deps


@dataclass(frozen=True, slots=True)
class PoolCounts:
    """Counts by their labels. Ages in seconds; a node never heard of, or retired, has none."""

    jobs: Mapping[tuple[str, str], float]
    waiting: Mapping[tuple[str, str], int]
    oldest_wait_s: Mapping[str, float]
    nodes: Mapping[tuple[str, str], float]
    heartbeat_age_s: Mapping[str, float]
    chips: Mapping[tuple[str, str], float]
    chips_unhealthy: Mapping[tuple[str, str], float]
    chips_held: Mapping[tuple[str, str], float]
    queue_held: Mapping[tuple[str, str], float]
    queue_limits: Mapping[tuple[str, str], int]


def count_pool(deps: Deps) -> PoolCounts:
    """Reads everything once; called by each scrape."""
    now = deps.clock.now()
    with deps.store.read() as tx:
        counts, heard, waits = tx.counts.all(), tx.nodes.last_heard(), tx.queues.waits()
        queues, lease_time = tx.queues.all(), tx.lease_time
    oldest: dict[str, float] = {}
    for it in waits:
        oldest[it.queue] = max(oldest.get(it.queue, 0.0), (now - it.oldest).total_seconds())
    return PoolCounts(
        jobs=_sums((state, queue, number) for (_, queue, state), number in counts["job"].items()),
        waiting={(it.queue, it.reason): it.number for it in waits},
        oldest_wait_s=oldest,
        nodes=_sums((*key[:2], number) for key, number in counts["node"].items()),
        heartbeat_age_s={name: (lease_time - at).total_seconds() for name, at in heard},
        chips=_sums((*key[:2], number) for key, number in counts["chip"].items()),
        chips_unhealthy=_sums((*key[:2], number) for key, number in counts["unhealthy"].items()),
        chips_held=_sums((*key[:2], number / 1000) for key, number in counts["held"].items()),
        queue_held=_sums(
            (queue, kind, number / 1000) for (_, kind, queue), number in counts["held"].items()
        ),
        queue_limits={
            (queue.name, kind): limit for queue in queues for kind, limit in queue.limits.items()
        },
    )


def _sums(rows: Iterable[tuple[str, str, float]]) -> dict[tuple[str, str], float]:
    total: dict[tuple[str, str], float] = defaultdict(float)
    for first, second, number in rows:
        total[first, second] += number
    return dict(total)
