"""The figures of the pool and the queues that metrics are made of, in one read."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from control_plane.services.deps import Deps
from penstock.api.states import ChipHealth, JobState, NodeIntent


@dataclass(frozen=True, slots=True)
class PoolCounts:
    """Counts by their labels. Ages in seconds; a node never heard of, or retired, has none."""

    jobs: Mapping[tuple[str, str], int]
    waiting: Mapping[tuple[str, str], int]
    oldest_wait_s: Mapping[str, float]
    nodes: Mapping[tuple[str, str], int]
    heartbeat_age_s: Mapping[str, float]
    chips: Mapping[tuple[str, str], int]
    chips_unhealthy: Mapping[tuple[str, str], int]
    chips_held: Mapping[tuple[str, str], float]
    queue_held: Mapping[tuple[str, str], float]
    queue_limits: Mapping[tuple[str, str], int]


def count_pool(deps: Deps) -> PoolCounts:
    """Reads everything once; called by each scrape."""
    now = deps.clock.now()
    with deps.store.read() as tx:
        jobs, nodes = tx.jobs.counts(), tx.nodes.all()
        retired = {node.id for node in nodes if node.intent == NodeIntent.RETIRED}
        chips = [chip for chip in tx.chips.present() if chip.node_id not in retired]
        waiting = tx.jobs.in_state([JobState.QUEUED])
        leases, queues, lease_time = tx.leases.held(), tx.queues.all(), tx.lease_time
    oldest: dict[str, float] = {}
    for job in waiting:
        oldest[job.queue] = max(oldest.get(job.queue, 0.0), (now - job.created_at).total_seconds())
    held: Counter[tuple[str, str]] = Counter()
    by_queue: Counter[tuple[str, str]] = Counter()
    for lease in leases:
        for chip in lease.chips:
            held[chip["vendor"], chip["type"]] += chip["milli"]
            by_queue[lease.queue, chip["type"]] += chip["milli"]
    return PoolCounts(
        jobs=jobs, waiting=Counter((job.queue, job.reason) for job in waiting),
        oldest_wait_s=oldest, nodes=Counter((node.health, node.intent) for node in nodes),
        heartbeat_age_s={
            node.name: (lease_time - node.heard_at).total_seconds()
            for node in nodes if node.heard_at is not None and node.id not in retired
        },
        chips=Counter((chip.vendor, chip.type) for chip in chips),
        chips_unhealthy=Counter(
            (chip.vendor, chip.type) for chip in chips if chip.health == ChipHealth.UNHEALTHY
        ),
        chips_held={key: milli / 1000 for key, milli in held.items()},
        queue_held={key: milli / 1000 for key, milli in by_queue.items()},
        queue_limits={
            (queue.name, kind): limit for queue in queues for kind, limit in queue.limits.items()
        },
    )  # fmt: skip
