"""Declares every metric that an agent exports: name, meaning, labels. Values are the exporter's.

Base units only; job and replica appear only on series that vanish with the replica.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal


@dataclass(frozen=True, slots=True)
class Metric:
    """One family. The exporter adds the labels `cluster` and `node` in front of `labels`."""

    name: str
    help: str
    labels: tuple[str, ...]
    kind: Literal["gauge", "counter"] = "gauge"


_CHIP: Final = ("chip", "uuid", "vendor", "chip_type")
_REPLICA: Final = ("project", "queue", "job", "replica", "rank")

CHIP_INFO: Final = Metric(
    "penstock_chip_info",
    "Text facts of a chip; always 1.",
    (*_CHIP, "index", "pci_address", "driver_version", "emulated", "stands_for"),
)
CHIP_UTILIZATION: Final = Metric(
    "penstock_chip_utilization_ratio", "Share of the chip's compute in use, 0 to 1.", _CHIP
)
CHIP_MEMORY_USED: Final = Metric(
    "penstock_chip_memory_used_bytes", "Memory of the chip in use.", _CHIP
)
CHIP_MEMORY_TOTAL: Final = Metric(
    "penstock_chip_memory_total_bytes", "Memory that the chip has.", _CHIP
)
CHIP_TEMPERATURE: Final = Metric(
    "penstock_chip_temperature_celsius", "Temperature of the chip.", _CHIP
)
CHIP_POWER: Final = Metric("penstock_chip_power_watts", "Power drawn by the chip.", _CHIP)
CHIP_HEALTH: Final = Metric(
    "penstock_chip_health", "1 healthy, 0 unhealthy; absent while unknown.", _CHIP
)
CHIP_ALLOCATED: Final = Metric(
    "penstock_chip_allocated",
    "Part of the chip, 0 to 1, held by replicas of a job on this node.",
    (*_CHIP, "project", "queue", "job"),
)
CHIP_SAMPLE_AGE: Final = Metric(
    "penstock_chip_sample_age_seconds", "Time since the chip was last read.", _CHIP
)
CHIPS_DROPPED: Final = Metric(
    "penstock_chips_dropped", "Devices left out of the inventory, by vendor.", ("vendor",)
)
REPLICA_CPU: Final = Metric(
    "penstock_replica_cpu_seconds_total", "CPU time used by the replica.", _REPLICA, "counter"
)
REPLICA_MEMORY: Final = Metric(
    "penstock_replica_memory_used_bytes", "Host memory used by the replica.", _REPLICA
)
REPLICA_TOKENS: Final = Metric(
    "penstock_replica_speed_tokens_per_second", "Tokens per second the replica reports.", _REPLICA
)
REPLICA_STEP: Final = Metric(
    "penstock_replica_training_step", "Last training step the replica reports.", _REPLICA
)
REPLICA_LOSS: Final = Metric(
    "penstock_replica_training_loss", "Last training loss the replica reports.", _REPLICA
)
LOG_LINES_DROPPED: Final = Metric(
    "penstock_log_dropped_lines_total",
    "Lines of the agent's own log that could not be written.",
    (),
    "counter",
)
