"""What a replica is to be held to, as values for the kernel's files. Pure; written elsewhere."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from penstock.api.assignments import Assignment
from penstock.api.ids import ReplicaId

PERIOD_US: Final = 10_000  # short, so that a small quota does not show as long stalls
MIN_QUOTA_US: Final = 1_000  # the kernel takes no less
MAX_PROCESSES: Final = 16_384
DATA_HEADROOM_BYTES: Final = 512 << 20

Settings = Mapping[str, str]
"""Kernel file name to what is written there, in order."""


@dataclass(frozen=True, slots=True)
class Demand:
    """One replica's limits. `hard`: its cores are a quota, not only a weight against others."""

    replica_id: ReplicaId
    cores_milli: int
    memory_bytes: int
    hard: bool


def demand_of(assignment: Assignment) -> Demand:
    """Emulated chips and fractions hold their cores by quota; everything else only by weight."""
    return Demand(
        replica_id=assignment.replica_id,
        cores_milli=assignment.cores_milli,
        memory_bytes=assignment.memory_bytes,
        hard=any(chip.emulated or chip.milli < 1000 for chip in assignment.chips),
    )


def quota_us(cores_milli: int) -> tuple[int, int]:
    """(quota, period) in microseconds; the period grows where the quota would be too small."""
    period = PERIOD_US
    if cores_milli * period < MIN_QUOTA_US * 1000:
        period = -(-MIN_QUOTA_US * 1000 // max(1, cores_milli))
    return cores_milli * period // 1000, period


def cpu_v1(demand: Demand) -> Settings:
    weight = {"cpu.shares": str(max(2, demand.cores_milli * 1024 // 1000))}
    if not demand.hard:
        return weight
    quota, period = quota_us(demand.cores_milli)
    return weight | {"cpu.cfs_period_us": str(period), "cpu.cfs_quota_us": str(quota)}


def memory_v1(demand: Demand) -> Settings:
    limit = str(demand.memory_bytes)
    return {"memory.limit_in_bytes": limit, "memory.memsw.limit_in_bytes": limit}


def cpu_v2(demand: Demand) -> Settings:
    weight = {"cpu.weight": str(min(10_000, max(1, demand.cores_milli // 10)))}
    if not demand.hard:
        return weight
    quota, period = quota_us(demand.cores_milli)
    return weight | {"cpu.max": f"{quota} {period}"}


ALL_REPLICAS: Final[Mapping[int, Settings]] = {1: {"cpu.shares": "4096"}, 2: {"cpu.weight": "400"}}
"""cgroup version to the weight of all replicas together against the rest of the machine, four
times the default: what a quota grants has to be there, whatever else runs on the host."""


def memory_v2(demand: Demand) -> Settings:
    limit = str(demand.memory_bytes)
    return {"memory.max": limit, "memory.swap.max": "0", "memory.oom.group": "1"}


def processes(demand: Demand) -> Settings:
    """Contains a fork bomb; far above what a workload with its threads needs."""
    return {"pids.max": str(MAX_PROCESSES)}


OPTIONAL: Final = frozenset(
    {
        "memory.memsw.limit_in_bytes",
        "memory.swap.max",
        "memory.oom.group",
        "cpu.shares",
        "cpu.weight",
    }
)
"""Settings that a kernel may lack without the limit being lost."""


def fallback_cpu(demand: Demand) -> dict[str, float]:
    """For the supervisor: cores to hold the replica to by stopping and continuing it."""
    return {"cores": demand.cores_milli / 1000} if demand.hard else {}


def fallback_memory(demand: Demand) -> dict[str, int]:
    """For the supervisor: memory to watch, and a ceiling for what one process may ask for.

    The ceiling counts reserved, not used memory (thread stacks, arenas): hence its headroom.
    """
    if not demand.memory_bytes:
        return {}
    ceiling = 2 * demand.memory_bytes + DATA_HEADROOM_BYTES
    return {"memory_bytes": demand.memory_bytes, "data_bytes": ceiling}
