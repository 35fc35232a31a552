"""NVIDIA chips through NVML, the vendor's management library, by its own Python binding.

Whole GPUs and MIG devices are chips; a GPU in MIG mode is not one itself. Tested against a stub
of the library; see docs/guides/add-a-chip-vendor.md for what has run on hardware.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from agents.node.chips.base import ChipContext, ChipProvider, Dropped, ProbeError, ProbeResult
from agents.node.hardware.pci import Presence, normal_address, presence
from penstock.api.chips import ChipReport, ChipSample
from penstock.api.states import ChipHealth

VENDOR: Final = "nvidia"
NOISE: Final = re.compile(r"(nvidia|tesla|geforce|generation|edition|sxm\d*|hbm\d*e?|\d+gb)")
"""Words of a marketing name that do not tell two types apart: memory has a field of its own."""

Nvml = Any
Handle = Any


def provider(context: ChipContext) -> ChipProvider:
    return NvidiaProvider(context)


@dataclass(frozen=True, slots=True)
class _Device:
    """A chip of the last probe with the library's handles for it."""

    report: ChipReport
    handle: Handle
    gpu: Handle
    is_mig: bool


class NvidiaProvider:
    """What NVML reports. The library stays initialised between calls: opening it can take long."""

    def __init__(self, context: ChipContext) -> None:
        self._context = context
        self._nvml: Nvml | None = None
        self._devices: tuple[_Device, ...] = ()

    def probe(self) -> ProbeResult:
        seen = presence(self._context.vendors[VENDOR], self._context.roots)
        self._devices = ()
        if seen.excluded:
            return ProbeResult()
        try:
            return self._enumerate(self._open(), seen)
        except ProbeError:
            if seen.pci or seen.nodes:
                raise
            return ProbeResult()  # no bus to look at and no library: there is no such chip

    def sample(self) -> Sequence[ChipSample]:
        nvml = self._nvml
        return [] if nvml is None else [_sample(nvml, device) for device in self._devices]

    def holders(self) -> Mapping[str, tuple[int, ...]]:
        nvml = self._nvml
        found = {}
        for device in self._devices if nvml is not None else ():
            running = _read(nvml, "nvmlDeviceGetComputeRunningProcesses", device.handle)
            if running is not None:
                found[device.report.key] = tuple(sorted(int(process.pid) for process in running))
        return found

    def _open(self) -> Nvml:
        """The initialised library, opened anew after a driver was reloaded; raises ProbeError."""
        import pynvml

        try:
            if self._nvml is not None:
                self._nvml.nvmlDeviceGetCount()
                return self._nvml
        except pynvml.NVMLError:
            self._nvml = None
        try:
            pynvml.nvmlInit()
        except pynvml.NVMLError as error:
            raise ProbeError(f"NVML cannot be opened: {error}") from error
        self._nvml = pynvml
        return pynvml

    def _enumerate(self, nvml: Nvml, seen: Presence) -> ProbeResult:
        driver = _read(nvml, "nvmlSystemGetDriverVersion")
        devices: list[_Device] = []
        dropped: list[Dropped] = []
        for number in range(_count(nvml)):
            try:
                for found in _gpu(nvml, number, driver):
                    index = len(devices)
                    report = found.report.model_copy(update={"index": index})
                    devices.append(_Device(report, found.handle, found.gpu, found.is_mig))
            except ProbeError as error:
                dropped.append(Dropped(VENDOR, f"GPU {number}", str(error)))
        self._devices = tuple(devices)
        reports = tuple(it.report for it in devices)
        silent = () if dropped else _silent(seen, reports)  # a dropped one may be the silent one
        return ProbeResult(reports, (*dropped, *silent))


def type_name(name: str) -> str:
    """`nvidia-h100` from `NVIDIA H100 80GB HBM3`; PCIe and NVL boards keep that in the type."""
    words = re.findall(r"[a-z0-9]+", name.lower())
    return "-".join([VENDOR, *(word for word in words if not NOISE.fullmatch(word))])


def dtypes(capability: tuple[int, int] | None) -> tuple[str, ...]:
    """Number formats by compute capability (CUDA programming guide, tensor core tables)."""
    if capability is None:
        return ()
    since = (("fp64", (1, 3)), ("fp32", (1, 0)), ("tf32", (8, 0)), ("bf16", (8, 0)),
             ("fp16", (5, 3)), ("fp8", (8, 9)), ("int8", (6, 1)))  # fmt: skip
    return tuple(dtype for dtype, least in since if capability >= least)


def mig_profile(slices: tuple[int, int], memory_mib: int, total_bytes: int) -> str:
    """`1g.10gb`, or `1c.2g.20gb` where the compute instance takes a part of its GPU instance.

    Memory is the instance's eighths of the GPU's, as the vendor's own tools name profiles.
    """
    gpu_slices, compute_slices = slices
    eighths = -(-memory_mib * 2**20 * 8 // total_bytes)
    memory_gb = round(eighths / 8 * -(-total_bytes // 2**30))
    part = "" if compute_slices == gpu_slices else f"{compute_slices}c."
    return f"{part}{gpu_slices}g.{memory_gb}gb"


def _count(nvml: Nvml) -> int:
    try:
        return int(nvml.nvmlDeviceGetCount())
    except nvml.NVMLError as error:
        raise ProbeError(f"NVML cannot count its devices: {error}") from error


def _gpu(nvml: Nvml, number: int, driver: str | None) -> Iterator[_Device]:
    """The chips of one GPU: itself, or its MIG devices. ProbeError when it has no identity."""
    gpu = _must(nvml, "nvmlDeviceGetHandleByIndex", number)
    whole = _report(nvml, gpu, number, driver)
    mode = _read(nvml, "nvmlDeviceGetMigMode", gpu)
    if not mode or mode[0] != nvml.NVML_DEVICE_MIG_ENABLE:
        yield _Device(whole, gpu, gpu, False)
        return
    parts = list(_mig_devices(nvml, gpu, whole))
    if not parts:
        raise ProbeError("MIG mode is on, but no readable MIG device is configured")
    yield from parts


def _report(nvml: Nvml, gpu: Handle, number: int, driver: str | None) -> ChipReport:
    uuid = str(_must(nvml, "nvmlDeviceGetUUID", gpu))
    name = str(_must(nvml, "nvmlDeviceGetName", gpu))
    pci = _read(nvml, "nvmlDeviceGetPciInfo", gpu)
    memory = _read(nvml, "nvmlDeviceGetMemoryInfo", gpu)
    health, message = _health(nvml, gpu)
    return ChipReport(
        key=uuid,
        vendor=VENDOR,
        type=type_name(name),
        index=number,
        physical_id=number,
        minor=_read(nvml, "nvmlDeviceGetMinorNumber", gpu),
        pci_address=None if pci is None else normal_address(_text(pci.busId)),
        uuid=uuid,
        memory_bytes=None if memory is None or not memory.total else int(memory.total),
        dtypes=dtypes(_read(nvml, "nvmlDeviceGetCudaComputeCapability", gpu)),
        health=health,
        health_message=message,
        driver_version=driver,
    )


def _mig_devices(nvml: Nvml, gpu: Handle, whole: ChipReport) -> Iterator[_Device]:
    """MIG devices carry the identity of their own and the place of their GPU."""
    for slot in range(_read(nvml, "nvmlDeviceGetMaxMigDeviceCount", gpu) or 0):
        handle = _read(nvml, "nvmlDeviceGetMigDeviceHandleByIndex", gpu, slot)
        if handle is None:
            continue  # an empty slot
        uuid = _read(nvml, "nvmlDeviceGetUUID", handle)
        shape = _read(nvml, "nvmlDeviceGetAttributes", handle)
        if uuid is None or shape is None or not whole.memory_bytes:
            continue
        slices = (int(shape.gpuInstanceSliceCount), int(shape.computeInstanceSliceCount))
        profile = mig_profile(slices, int(shape.memorySizeMB), whole.memory_bytes)
        update = {
            "key": str(uuid),
            "uuid": str(uuid),
            "type": f"{whole.type}-mig-{profile}",
            "memory_bytes": int(shape.memorySizeMB) * 2**20,
        }
        yield _Device(whole.model_copy(update=update), handle, gpu, True)


def _sample(nvml: Nvml, device: _Device) -> ChipSample:
    """MIG devices report no utilisation or power; heat and health are those of their GPU."""
    memory = _read(nvml, "nvmlDeviceGetMemoryInfo", device.handle)
    use = None
    if not device.is_mig:
        use = _read(nvml, "nvmlDeviceGetUtilizationRates", device.gpu)
    sensor = nvml.NVML_TEMPERATURE_GPU
    celsius = _read(nvml, "nvmlDeviceGetTemperature", device.gpu, sensor)
    milliwatts = _read(nvml, "nvmlDeviceGetPowerUsage", device.gpu)
    return ChipSample(
        key=device.report.key,
        utilization_ratio=None if use is None else use.gpu / 100,
        memory_used_bytes=None if memory is None else int(memory.used),
        temperature_celsius=None if celsius is None else float(celsius),
        power_watts=None if milliwatts is None or device.is_mig else milliwatts / 1000,
        health=_health(nvml, device.gpu)[0],
    )


def _health(nvml: Nvml, gpu: Handle) -> tuple[ChipHealth, str]:
    """Lost, a failed row remap, or uncorrected memory errors since the driver was loaded."""
    try:
        nvml.nvmlDeviceGetPciInfo(gpu)
    except nvml.NVMLError as error:
        if error.value in (nvml.NVML_ERROR_GPU_IS_LOST, nvml.NVML_ERROR_RESET_REQUIRED):
            return ChipHealth.UNHEALTHY, f"{error}: reset the GPU or restart the node"
    rows = _read(nvml, "nvmlDeviceGetRemappedRows", gpu)
    if rows is not None and rows[3]:
        return ChipHealth.UNHEALTHY, "A row remap failed: the GPU's memory needs replacing"
    uncorrected = (nvml.NVML_MEMORY_ERROR_TYPE_UNCORRECTED, nvml.NVML_VOLATILE_ECC)
    errors = _read(nvml, "nvmlDeviceGetTotalEccErrors", gpu, *uncorrected)
    if errors:
        return ChipHealth.UNHEALTHY, f"{errors} uncorrected memory errors: reset the GPU"
    counted = "no uncorrected memory errors" if errors == 0 else "memory errors are not counted"
    return ChipHealth.HEALTHY, f"It answers; {counted}."


def _silent(seen: Presence, reports: Sequence[ChipReport]) -> Iterator[Dropped]:
    """Devices on the bus of which NVML says nothing."""
    answered = {it.pci_address for it in reports}
    for device in seen.pci:
        if device.address not in answered:
            yield Dropped(
                VENDOR,
                device.address,
                "on the bus, but NVML does not report it: "
                "it is not given to this container, or its driver failed",
            )


def _must(nvml: Nvml, name: str, *arguments: object) -> Any:
    """The answer of a call without which a chip has no identity; raises ProbeError."""
    call: Callable[..., Any] = getattr(nvml, name)
    try:
        answer = call(*arguments)
    except nvml.NVMLError as error:
        raise ProbeError(f"{name}: {error}") from error
    return _text(answer) if isinstance(answer, bytes) else answer


def _read(nvml: Nvml, name: str, *arguments: object) -> Any:
    """The answer of a call, or None where the driver or the chip has none."""
    try:
        return _must(nvml, name, *arguments)
    except ProbeError:
        return None


def _text(value: str | bytes) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes) else value
