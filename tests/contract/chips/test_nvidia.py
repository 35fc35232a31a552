"""The NVML provider against a stub of the library: shapes and error paths, not hardware."""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from pathlib import Path

import pytest

from penstock.api.states import ChipHealth
from tests.contract.chips.nvml import Session, compile_stub, gpu, session
from tests.host_tree import HostTree


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return compile_stub(tmp_path_factory.mktemp("nvml"))


def _library_is_installed() -> bool:
    try:
        ctypes.CDLL("libnvidia-ml.so.1")
    except OSError:
        return False
    return True


without_library = pytest.mark.skipif(
    _library_is_installed(), reason="the real NVML is installed: it cannot be missing"
)


@pytest.fixture
def tree(tmp_path: Path) -> HostTree:
    return HostTree(tmp_path).pci("0000:3b:00.0", "10de").pci("0000:00:1f.0", "8086", "060100")


@pytest.fixture
def host(tree: HostTree, library: Path) -> Iterator[Session]:
    with session(tree, library) as opened:
        yield opened


def test_a_gpu_is_reported_with_every_fact_that_the_library_knows(host: Session) -> None:
    host.has(gpu())
    (chip,), dropped = host.probe()
    assert dropped == []
    assert (chip.key, chip.uuid, chip.type) == ("GPU-aaaa", "GPU-aaaa", "nvidia-h100")
    assert (chip.index, chip.physical_id, chip.minor) == (0, 0, 2)
    assert chip.pci_address == "0000:3b:00.0"
    assert chip.memory_bytes == 80 * 2**30
    assert chip.driver_version == "570.86"
    assert chip.dtypes == ("fp64", "fp32", "tf32", "bf16", "fp16", "fp8", "int8")
    assert chip.health == ChipHealth.HEALTHY
    assert not chip.emulated


def test_readings_follow_the_chip_while_the_provider_runs(host: Session) -> None:
    host.has(gpu())
    host.probe()
    (before,) = host.sample()
    assert before.utilization_ratio == 0.37
    assert before.memory_used_bytes == 2**30
    assert (before.temperature_celsius, before.power_watts) == (41, 120.5)
    host.has(gpu(util="99", temp="83"))
    (after,) = host.sample()
    assert (after.utilization_ratio, after.temperature_celsius) == (0.99, 83)


def test_what_a_chip_cannot_tell_is_null_and_never_zero(host: Session) -> None:
    host.has(gpu(total="", used="", util="", temp="", power="", minor="", cc="", ecc="", remap=""))
    (chip,), dropped = host.probe()
    assert dropped == []
    assert (chip.memory_bytes, chip.minor, chip.dtypes) == (None, None, ())
    (reading,) = host.sample()
    assert reading.utilization_ratio is None
    assert reading.memory_used_bytes is None
    assert reading.temperature_celsius is None
    assert reading.power_watts is None


def test_a_chip_without_identity_is_dropped_alone(host: Session) -> None:
    host.has(gpu(uuid=""), gpu(uuid="GPU-bbbb"))
    chips, dropped = host.probe()
    assert [(it.key, it.index, it.physical_id) for it in chips] == [("GPU-bbbb", 0, 1)]
    assert dropped == ["nvidia GPU 0: nvmlDeviceGetUUID: Not Supported"]


def test_a_gpu_that_cannot_be_opened_is_dropped_with_the_library_s_reason(host: Session) -> None:
    host.has(gpu(handle="15"))
    assert host.probe() == ([], ["nvidia GPU 0: nvmlDeviceGetHandleByIndex: GPU is lost"])


def test_a_gpu_that_is_lost_between_readings_is_unhealthy(host: Session) -> None:
    host.has(gpu(), gpu(uuid="GPU-bbbb", busid="00000000:5E:00.0"))
    host.probe()
    host.has(gpu(), gpu(uuid="GPU-bbbb", error="15"))
    first, second = host.sample()
    assert (first.health, second.health) == (ChipHealth.HEALTHY, ChipHealth.UNHEALTHY)
    assert second.utilization_ratio is None


@pytest.mark.parametrize("facts", [{"ecc": "3"}, {"remap": "1"}])
def test_memory_faults_make_a_gpu_unhealthy(host: Session, facts: dict[str, str]) -> None:
    host.has(gpu(**facts))
    (chip,), _ = host.probe()
    assert chip.health == ChipHealth.UNHEALTHY
    assert "memory" in chip.health_message


def test_a_gpu_in_mig_mode_is_offered_as_its_mig_devices(host: Session) -> None:
    parts = {
        "mig": "7",
        "mig.0.uuid": "MIG-0", "mig.0.total": "1", "mig.0.used": "5", "mig.0.shape": "1,1,9856",
        "mig.3.uuid": "MIG-3", "mig.3.shape": "3,3,40192", "mig.3.pids": "44",
    }  # fmt: skip
    host.has({**gpu(), **parts}, gpu(uuid="GPU-bbbb", busid="00000000:5E:00.0"))
    chips, dropped = host.probe()
    assert dropped == []
    assert [(it.index, it.physical_id, it.key, it.type) for it in chips] == [
        (0, 0, "MIG-0", "nvidia-h100-mig-1g.10gb"),
        (1, 0, "MIG-3", "nvidia-h100-mig-3g.40gb"),
        (2, 1, "GPU-bbbb", "nvidia-h100"),
    ]
    assert chips[0].memory_bytes == 9856 * 2**20
    samples = host.sample()
    assert [it.utilization_ratio for it in samples] == [None, None, 0.37]
    assert [it.power_watts for it in samples] == [None, None, 120.5]
    assert samples[0].memory_used_bytes == 5
    assert host.holders() == {"MIG-3": [44], "GPU-bbbb": [7, 12]}


def test_mig_mode_without_devices_offers_nothing_and_says_so(host: Session) -> None:
    host.has(gpu(mig="7"))
    chips, dropped = host.probe()
    assert chips == []
    assert dropped == ["nvidia GPU 0: MIG mode is on, but no readable MIG device is configured"]


def test_a_device_on_the_bus_that_the_library_does_not_report_is_named(host: Session) -> None:
    host.has(gpu(busid="00000000:5E:00.0"))
    chips, (dropped,) = host.probe()
    assert len(chips) == 1
    assert dropped.startswith("nvidia 0000:3b:00.0: on the bus, but NVML does not report it")


def test_a_reloaded_driver_is_opened_again(host: Session) -> None:
    host.has(count="-1")
    assert host.probe() == ([], ["nvidia: NVML cannot count its devices: Uninitialized"])
    host.has(gpu())
    chips, _ = host.probe()
    assert len(chips) == 1


def test_a_driver_that_is_not_loaded_is_a_reason(host: Session) -> None:
    host.has(init="9")
    assert host.probe() == ([], ["nvidia: NVML cannot be opened: Driver Not Loaded"])
    assert host.sample() == []


def test_a_function_that_the_library_lacks_leaves_its_figure_null(
    tree: HostTree, tmp_path: Path
) -> None:
    old = compile_stub(tmp_path, "-DWITHOUT_POWER")
    with session(tree, old) as host:
        host.has(gpu())
        host.probe()
        (reading,) = host.sample()
        assert reading.power_watts is None
        assert reading.temperature_celsius == 41


@without_library
def test_a_missing_library_is_a_reason_when_the_chip_is_on_the_bus(tree: HostTree) -> None:
    with session(tree, None) as host:
        chips, (dropped,) = host.probe()
        assert chips == []
        assert dropped.startswith("nvidia: NVML cannot be opened: NVML Shared Library Not Found")


def test_a_host_without_such_a_chip_reports_none_and_no_reason(
    tmp_path: Path, library: Path
) -> None:
    bare = HostTree(tmp_path).pci("0000:00:1f.0", "8086", "060100")
    with session(bare, library) as host:
        host.has(gpu())
        assert host.probe() == ([], [])


@without_library
def test_without_a_bus_to_read_and_without_a_library_there_is_no_such_chip(tmp_path: Path) -> None:
    with session(HostTree(tmp_path), None) as host:
        assert host.probe() == ([], [])


def test_without_a_bus_to_read_the_library_is_asked(tmp_path: Path, library: Path) -> None:
    with session(HostTree(tmp_path), library) as host:
        host.has(gpu())
        chips, _ = host.probe()
        assert len(chips) == 1
