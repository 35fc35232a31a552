"""The processor provider on trees of several hosts, and one real measurement."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from agents.node.chips.base import ChipContext
from agents.node.chips.cpu import CpuProvider
from agents.node.hardware import host
from penstock.api.vendors import vendor_table
from tests.host_tree import HostTree

GIB_KIB = 2**20


@pytest.fixture
def tree(tmp_path: Path) -> HostTree:
    """Two sockets of four CPUs, 64 and 32 GiB."""
    two = HostTree(tmp_path).socket(0, range(4), 64 * GIB_KIB, 60 * GIB_KIB)
    two.socket(1, range(4, 8), 32 * GIB_KIB, 32 * GIB_KIB - 1100)
    two.cpuinfo("Acme(R) One CPU @ 2.0GHz", "sse2 avx512_bf16")
    return two.memory(96 * GIB_KIB, 90 * GIB_KIB)


def provider(
    tree: HostTree, allowed: frozenset[int] | None = None, measure: bool = False
) -> CpuProvider:
    return CpuProvider(
        ChipContext(
            vendor_table(),
            tree.root / "state",
            roots=tree.roots,
            allowed_cpus=allowed,
            measure=measure,
        )
    )


def test_every_socket_is_a_chip_with_its_own_cores_and_memory(tree: HostTree) -> None:
    first, second = provider(tree).probe().chips
    assert (first.key, first.type, first.physical_id) == ("cpu-0", "cpu-acme-one", 0)
    assert (second.key, second.index) == ("cpu-1", 1)
    assert (first.cores_milli, second.cores_milli) == (4000, 4000)
    assert (first.memory_bytes, second.memory_bytes) == (64 * 2**30, 32 * 2**30)
    assert first.dtypes == ("fp64", "fp32", "bf16")
    assert (first.uuid, first.pci_address, first.driver_version) == (None, None, None)
    assert first.rates == {}


def test_only_cpus_that_the_process_may_use_are_offered(tree: HostTree) -> None:
    (chip,) = provider(tree, frozenset({4, 5})).probe().chips
    assert (chip.key, chip.cores_milli) == ("cpu-1", 2000)


def test_a_control_group_s_quota_lowers_the_cores_of_both_sockets(tree: HostTree) -> None:
    tree.file("sys/fs/cgroup/cpu.max", "200000 100000\n").file("sys/fs/cgroup/memory.max", "1024")
    assert [it.cores_milli for it in provider(tree).probe().chips] == [1000, 1000]
    assert host.capacity(tree.roots) == host.Capacity(2000, 1024)


def test_version_one_of_control_groups_is_read_as_well(tree: HostTree) -> None:
    tree.file("sys/fs/cgroup/cpu/cpu.cfs_quota_us", "150000").file(
        "sys/fs/cgroup/cpu/cpu.cfs_period_us", "100000"
    )
    tree.file("sys/fs/cgroup/memory/memory.limit_in_bytes", str(2**63 - 4096))
    assert host.group_limits(tree.roots) == (1500, None)


def test_no_limit_is_no_limit(tree: HostTree) -> None:
    tree.file("sys/fs/cgroup/cpu.max", "max 100000\n").file("sys/fs/cgroup/memory.max", "max\n")
    assert host.group_limits(tree.roots) == (None, None)


def test_use_is_read_per_socket(tree: HostTree) -> None:
    tree.busy(dict.fromkeys(range(8), (0, 0)))
    chip = provider(tree)
    chip.probe()
    tree.busy({cpu: (50, 50) if cpu < 4 else (0, 100) for cpu in range(8)})
    first, second = chip.sample()
    assert (first.utilization_ratio, second.utilization_ratio) == (0.5, 0.0)
    assert second.memory_used_bytes == (1100 - 100) * 1024


def test_one_socket_has_the_host_s_memory(tmp_path: Path) -> None:
    tree = HostTree(tmp_path).socket(0, range(2), 900, 100).memory(1000, 600)
    chip = provider(tree)
    (report,) = chip.probe().chips
    (sample,) = chip.sample()
    assert report.memory_bytes == 1000 * 1024
    assert sample.memory_used_bytes == 400 * 1024
    assert sample.utilization_ratio is None
    assert sample.temperature_celsius is None


def test_the_package_s_own_sensor_is_its_temperature(tree: HostTree) -> None:
    sensor = "sys/class/hwmon/hwmon3/temp1"
    tree.file(f"{sensor}_label", "Package id 1\n").file(f"{sensor}_input", "47500\n")
    chip = provider(tree)
    chip.probe()
    assert [it.temperature_celsius for it in chip.sample()] == [None, 47.5]


def test_a_real_processor_is_measured_once_and_remembered(tmp_path: Path) -> None:
    context = ChipContext(vendor_table(), tmp_path / "state")
    chip = CpuProvider(context)
    assert all(it.rates == {} for it in chip.probe().chips)
    chip.book.wait()
    for report in chip.probe().chips:
        memory = report.rates["memory"]
        assert (memory.unit, memory.origin) == ("B/s", "conformance")
        assert memory.value > 1e8
        assert memory.measured_at is not None
        flops = [rate for key, rate in report.rates.items() if key.startswith("flops.")]
        assert all(rate.value > 1e8 and rate.unit == "FLOP/s" for rate in flops)
    again = CpuProvider(context).probe().chips
    assert [it.rates for it in again] == [it.rates for it in chip.probe().chips]


def test_rates_of_another_processor_are_not_taken_over(tree: HostTree) -> None:
    rates = {"memory": [1, "B/s"]}
    record = {"identity": "another", "measured_at": "2026-01-01T00:00:00Z", "rates": rates}
    tree.file("state/rates/cpu-0.json", json.dumps(record)).file("state/rates/cpu-1.json", "{")
    assert [it.rates for it in provider(tree).probe().chips] == [{}, {}]
