"""Limits in the kernel's own figures, for both versions of control groups."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.runtimes.process.limits.demand import (
    MIN_QUOTA_US,
    PERIOD_US,
    Demand,
    cpu_v1,
    cpu_v2,
    demand_of,
    fallback_cpu,
    fallback_memory,
    memory_v1,
    memory_v2,
    processes,
    quota_us,
)
from penstock.api.ids import ReplicaId
from tests.fakes.agent_parts import a_chip, an_assignment

HALF = Demand(ReplicaId("replica_1"), cores_milli=500, memory_bytes=64 << 20, hard=True)
SOFT = Demand(ReplicaId("replica_1"), cores_milli=2500, memory_bytes=0, hard=False)


@given(st.integers(1, 1_000_000))
def test_a_quota_is_the_share_of_its_period_and_never_too_small(cores_milli: int) -> None:
    quota, period = quota_us(cores_milli)
    assert quota >= MIN_QUOTA_US
    assert period >= PERIOD_US
    assert quota / period == pytest.approx(cores_milli / 1000, rel=0.01)


def test_version_1_and_version_2_say_the_same() -> None:
    assert cpu_v1(HALF) == {
        "cpu.shares": "512",
        "cpu.cfs_period_us": "10000",
        "cpu.cfs_quota_us": "5000",
    }
    assert cpu_v2(HALF) == {"cpu.weight": "50", "cpu.max": "5000 10000"}
    assert memory_v1(HALF)["memory.limit_in_bytes"] == memory_v2(HALF)["memory.max"] == "67108864"
    assert processes(HALF) == {"pids.max": "16384"}
    assert cpu_v1(SOFT) == {"cpu.shares": "2560"}
    assert cpu_v2(SOFT) == {"cpu.weight": "250"}


@pytest.mark.parametrize(
    "chips,hard",
    [
        ((), False),
        ((a_chip(emulated=False),), False),
        ((a_chip(emulated=False, milli=500),), True),
        ((a_chip(),), True),
    ],
)
def test_only_emulated_chips_and_fractions_hold_cores_by_quota(
    chips: tuple[object, ...], hard: bool
) -> None:
    assert demand_of(an_assignment(chips=chips)).hard is hard


def test_without_control_groups_the_supervisor_gets_the_limits() -> None:
    assert fallback_cpu(HALF) == {"cores": 0.5}
    assert fallback_cpu(SOFT) == {}
    assert fallback_memory(HALF)["memory_bytes"] == 64 << 20
    assert fallback_memory(HALF)["data_bytes"] > 64 << 20
    assert fallback_memory(SOFT) == {}
