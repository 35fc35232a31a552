"""Every metric that the control plane exports, declared in this one file.

Base units, bounded labels, no job ids. What is in the database is counted at the scrape; what
happens in this process is counted as it happens.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Protocol, TypeVar

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Histogram,
    Info,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from penstock import __version__

_FAST = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)


KeyT = TypeVar("KeyT", bound=tuple[str, ...])


class Counts(Protocol):
    """`services.nodes.count.PoolCounts`, as far as metrics need it."""

    @property
    def jobs(self) -> Mapping[tuple[str, str], float]: ...
    @property
    def waiting(self) -> Mapping[tuple[str, str], int]: ...
    @property
    def oldest_wait_s(self) -> Mapping[str, float]: ...
    @property
    def nodes(self) -> Mapping[tuple[str, str], float]: ...
    @property
    def heartbeat_age_s(self) -> Mapping[str, float]: ...
    @property
    def chips(self) -> Mapping[tuple[str, str], float]: ...
    @property
    def chips_unhealthy(self) -> Mapping[tuple[str, str], float]: ...
    @property
    def chips_held(self) -> Mapping[tuple[str, str], float]: ...
    @property
    def queue_held(self) -> Mapping[tuple[str, str], float]: ...
    @property
    def queue_limits(self) -> Mapping[tuple[str, str], int]: ...


class Metrics:
    """The metrics of one process, in a registry of its own."""

    def __init__(
        self, count: Callable[[], Counts], dropped_log_lines: Callable[[], int] = lambda: 0
    ) -> None:
        # Of the whole process; else each counter and histogram has a series of its age beside it.
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self._registry = CollectorRegistry()
        self._registry.register(_Pool(count))
        self._registry.register(_Dropped(dropped_log_lines))
        registry = self._registry
        Info("penstock_build", "Version of the control plane.", registry=registry).info(
            {"version": __version__}
        )
        self._requests = Counter(
            "penstock_http_requests_total",
            "Requests by route, method and status.",
            ["route", "method", "code"],
            registry=registry,
        )
        self._request_seconds = Histogram(
            "penstock_http_request_seconds",
            "Seconds until the response began, by route.",
            ["route"],
            registry=registry,
            buckets=_FAST,
        )
        self._cycle_seconds = Histogram(
            "penstock_scheduler_cycle_seconds",
            "Duration of scheduling cycles.",
            registry=registry,
            buckets=_FAST,
        )
        self._attempts = Counter(
            "penstock_scheduler_attempts_total",
            "Gangs placed by scheduling cycles, and failures.",
            ["result"],
            registry=registry,
        )

    def request(self, route: str, method: str, code: int, seconds: float) -> None:
        """One HTTP request; `route` is the template, never the path."""
        self._requests.labels(route, method, str(code)).inc()
        self._request_seconds.labels(route).observe(seconds)

    def cycle(self, placed: int, seconds: float) -> None:
        """One scheduling cycle."""
        self._cycle_seconds.observe(seconds)
        self._attempts.labels("placed").inc(placed)

    def cycle_failed(self) -> None:
        """A cycle that ended in an error."""
        self._attempts.labels("error").inc()

    def exposition(self) -> bytes:
        """The text format of Prometheus."""
        return generate_latest(self._registry)


class _Dropped(Collector):
    def __init__(self, count: Callable[[], int]) -> None:
        self._count = count

    def collect(self) -> Iterable[Metric]:
        yield CounterMetricFamily(
            "penstock_log_dropped_lines_total",
            "Lines of the log that could not be written.",
            value=self._count(),
        )


class _Pool(Collector):
    """Gauges read from the database at each scrape."""

    def __init__(self, count: Callable[[], Counts]) -> None:
        self._count = count

    def describe(self) -> Iterable[Metric]:
        return ()

    def collect(self) -> Iterable[Metric]:
        now = self._count()
        yield _gauge("penstock_jobs", "Jobs by state and queue.", ("state", "queue"), now.jobs)
        yield _gauge(
            "penstock_queue_pending",
            "Waiting jobs by queue and reason.",
            ("queue", "reason"),
            now.waiting,
        )
        yield _gauge(
            "penstock_queue_oldest_wait_seconds",
            "How long the oldest waiting job waits.",
            ("queue",),
            {(queue,): age for queue, age in now.oldest_wait_s.items()},
        )
        yield _gauge(
            "penstock_queue_used_chips",
            "Chips held by a queue's jobs.",
            ("queue", "chip_type"),
            now.queue_held,
        )
        yield _gauge(
            "penstock_queue_quota_chips",
            "Most chips that a queue's jobs may hold.",
            ("queue", "chip_type"),
            now.queue_limits,
        )
        yield _gauge(
            "penstock_nodes", "Nodes by health and intent.", ("state", "intent"), now.nodes
        )
        yield _gauge(
            "penstock_node_heartbeat_age_seconds",
            "Seconds since a node was heard of.",
            ("node",),
            {(node,): age for node, age in now.heartbeat_age_s.items()},
        )
        yield from _chips(now)


def _chips(now: Counts) -> Iterable[Metric]:
    labels = ("vendor", "chip_type")
    yield _gauge("penstock_pool_chips", "Chips in the pool.", labels, now.chips)
    yield _gauge(
        "penstock_pool_chips_unhealthy", "Chips with a known fault.", labels, now.chips_unhealthy
    )
    yield _gauge("penstock_pool_chips_held", "Chips held by leases.", labels, now.chips_held)


def _gauge(name: str, text: str, labels: tuple[str, ...], values: Mapping[KeyT, float]) -> Metric:
    family = GaugeMetricFamily(name, text, labels=labels)
    for key, value in sorted(values.items()):
        family.add_metric(list(key), value)
    return family
