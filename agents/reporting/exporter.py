"""Answers Prometheus on loopback with what the agent last saw of its chips and replicas.

The agent hands in whole metrics_feed; nothing is kept of a chip or a replica that is no longer in
them, and what is not known is absent, never 0. The metrics are declared in `metrics.py`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from threading import Thread
from typing import Final
from wsgiref.simple_server import WSGIServer

from prometheus_client import CollectorRegistry, generate_latest, start_http_server
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric as Family
from prometheus_client.registry import Collector

from agents.node.chips.base import Dropped
from agents.reporting import metrics
from agents.reporting.metrics import Metric
from penstock.api.chips import ChipReport, ChipSample
from penstock.api.ids import ReplicaId
from penstock.api.states import ChipHealth

STALE_S: Final = 60.0
"""A reading older than this is no longer shown; its age still is."""

Row = tuple[Sequence[str], float | None]


@dataclass(frozen=True, slots=True)
class ReplicaGauges:
    """What the exporter shows of one live replica. Unknown figures are None."""

    replica_id: ReplicaId
    job: str
    project: str
    queue: str
    rank: int
    chips: Mapping[str, int] = field(default_factory=dict)  # chip key to thousandths held
    cpu_s: float | None = None
    memory_bytes: int | None = None
    tokens_per_s: float | None = None
    step: int | None = None
    loss: float | None = None


class Exporter:
    """The agent's `/metrics`. Setters replace what was known before; scrapes may come meanwhile."""

    def __init__(
        self, node: str, cluster: str = "", clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.registry = CollectorRegistry()
        self.registry.register(_Collector(self))
        self._place = (cluster, node)
        self._clock = clock
        self._chips: tuple[ChipReport, ...] = ()
        self._dropped: tuple[Dropped, ...] = ()
        self._samples: dict[str, tuple[ChipSample, float]] = {}
        self._replicas: tuple[ReplicaGauges, ...] = ()
        self._server: tuple[WSGIServer, Thread] | None = None
        self.dropped_log_lines: Callable[[], int | None] = lambda: None

    def start(self, port: int, host: str = "127.0.0.1") -> int:
        """Serves until `stop`; returns the port (0 asks for a free one). OSError if taken."""
        self._server = start_http_server(port, addr=host, registry=self.registry)
        return int(self._server[0].server_port)

    def stop(self) -> None:
        if self._server is not None:
            server, thread = self._server
            server.shutdown()
            server.server_close()
            thread.join()
            self._server = None

    def set_chips(self, chips: Sequence[ChipReport], dropped: Sequence[Dropped] = ()) -> None:
        """The inventory. Readings of chips that are gone are forgotten."""
        keys = {chip.key for chip in chips}
        self._samples = {key: it for key, it in self._samples.items() if key in keys}
        self._chips, self._dropped = tuple(chips), tuple(dropped)

    def set_samples(self, samples: Sequence[ChipSample]) -> None:
        """New readings. Chips that are not among them keep their last one, which grows old.

        A sample that was handed in before, the same object, is no new reading.
        """
        now, known = self._clock(), self._samples
        new = {
            it.key: (it, now) for it in samples if it.key not in known or known[it.key][0] is not it
        }
        self._samples = {**known, **new}

    def set_replicas(self, replicas: Sequence[ReplicaGauges]) -> None:
        """All live replicas of this node."""
        self._replicas = tuple(replicas)

    def render(self) -> str:
        """The page that a scrape gets, in Prometheus' text format."""
        return generate_latest(self.registry).decode()

    def families(self) -> Iterator[Family]:
        """Every family with its present series."""
        yield from self._chip_families()
        yield from self._sample_families()
        yield from self._replica_families()
        yield self._family(metrics.LOG_LINES_DROPPED, [((), self.dropped_log_lines())])

    def _chip_families(self) -> Iterator[Family]:
        chips = self._chips
        yield self._family(metrics.CHIP_INFO, ((_info_labels(it), 1.0) for it in chips))
        yield self._family(
            metrics.CHIP_MEMORY_TOTAL, ((_chip_labels(it), it.memory_bytes) for it in chips)
        )
        vendors = [it.vendor for it in self._dropped]
        yield self._family(
            metrics.CHIPS_DROPPED, (((it,), vendors.count(it)) for it in sorted(set(vendors)))
        )
        yield self._family(metrics.CHIP_ALLOCATED, self._allocated())

    def _sample_families(self) -> Iterator[Family]:
        now = self._clock()
        read = [
            (_chip_labels(chip), *self._samples[chip.key])
            for chip in self._chips
            if chip.key in self._samples
        ]
        yield self._family(metrics.CHIP_SAMPLE_AGE, ((it, now - at) for it, _, at in read))
        fresh = [(labels, sample) for labels, sample, at in read if now - at <= STALE_S]
        for metric, value in _READINGS:
            yield self._family(metric, ((labels, value(sample)) for labels, sample in fresh))

    def _replica_families(self) -> Iterator[Family]:
        for metric, value in _REPLICA_FIGURES:
            yield self._family(metric, ((_replica_labels(it), value(it)) for it in self._replicas))

    def _allocated(self) -> Iterator[Row]:
        """Held parts, summed over the replicas of one job on one chip."""
        by_key = {chip.key: chip for chip in self._chips}
        held: dict[tuple[str, ...], int] = {}
        for it in self._replicas:
            for key, milli in it.chips.items():
                if key in by_key:
                    labels = (*_chip_labels(by_key[key]), it.project, it.queue, it.job)
                    held[labels] = held.get(labels, 0) + milli
        return ((labels, milli / 1000) for labels, milli in held.items())

    def _family(self, metric: Metric, rows: Iterable[Row]) -> Family:
        make = CounterMetricFamily if metric.kind == "counter" else GaugeMetricFamily
        family = make(metric.name, metric.help, labels=("cluster", "node", *metric.labels))
        for labels, value in rows:
            if value is not None:
                family.add_metric([*self._place, *labels], value)
        return family


class _Collector(Collector):
    def __init__(self, exporter: Exporter) -> None:
        self._exporter = exporter

    def collect(self) -> Iterable[Family]:
        return self._exporter.families()


def _health(sample: ChipSample) -> float | None:
    return {ChipHealth.HEALTHY: 1.0, ChipHealth.UNHEALTHY: 0.0}.get(sample.health)


_READINGS: Final[tuple[tuple[Metric, Callable[[ChipSample], float | None]], ...]] = (
    (metrics.CHIP_UTILIZATION, lambda it: it.utilization_ratio),
    (metrics.CHIP_MEMORY_USED, lambda it: it.memory_used_bytes),
    (metrics.CHIP_TEMPERATURE, lambda it: it.temperature_celsius),
    (metrics.CHIP_POWER, lambda it: it.power_watts),
    (metrics.CHIP_HEALTH, _health),
)

_REPLICA_FIGURES: Final[tuple[tuple[Metric, Callable[[ReplicaGauges], float | None]], ...]] = (
    (metrics.REPLICA_CPU, lambda it: it.cpu_s),
    (metrics.REPLICA_MEMORY, lambda it: it.memory_bytes),
    (metrics.REPLICA_TOKENS, lambda it: it.tokens_per_s),
    (metrics.REPLICA_STEP, lambda it: it.step),
    (metrics.REPLICA_LOSS, lambda it: it.loss),
)


def _chip_labels(chip: ChipReport) -> tuple[str, ...]:
    return (chip.key, chip.uuid or "", chip.vendor, chip.type)


def _info_labels(chip: ChipReport) -> tuple[str, ...]:
    return (
        *_chip_labels(chip),
        str(chip.index),
        chip.pci_address or "",
        chip.driver_version or "",
        str(chip.emulated).lower(),
        chip.stands_for or "",
    )


def _replica_labels(it: ReplicaGauges) -> tuple[str, ...]:
    return (it.project, it.queue, it.job, it.replica_id, str(it.rank))
