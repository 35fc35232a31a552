"""The host's own processors: one chip per socket, with measured rates.

Reading the kernel's files is left to `agents/node/hardware/`. A fraction of such a chip takes the
same share of the host's cores, which the control plane counts.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Final

from agents.node.chips.base import ChipContext, ChipProvider, ProbeError, ProbeResult
from agents.node.hardware import host
from agents.node.hardware.host import CpuModel, Socket
from agents.node.hardware.rates import RateBook, Subject
from penstock.api.chips import ChipReport, ChipSample, Rate
from penstock.api.states import ChipHealth

VENDOR: Final = "cpu"
DTYPE_FLAGS: Final = {
    "bf16": {"avx512_bf16", "amx_bf16", "avx_ne_convert", "bf16", "svebf16"},
    "fp16": {"avx512_fp16", "amx_fp16", "asimdhp"},
    "int8": {"avx512_vnni", "avx_vnni", "amx_int8", "asimddp", "i8mm"},
}
"""Instructions that compute in a format; a processor with none of them has it in software only."""


def provider(context: ChipContext) -> ChipProvider:
    return CpuProvider(context)


class CpuProvider:
    """One chip per socket that this process may run on."""

    def __init__(self, context: ChipContext) -> None:
        self._context = context
        self._roots = context.roots
        self._sockets: tuple[Socket, ...] = ()
        self._ticks: dict[int, tuple[int, int]] = {}
        self.book = RateBook(context.state_dir / "rates")

    def probe(self) -> ProbeResult:
        self._sockets = host.sockets(self._roots, self._context.allowed_cpus)
        if not self._sockets:
            raise ProbeError("no CPU that this process may use is online")
        self._ticks = self._ticks or host.cpu_times(self._roots)
        model = host.cpu_model(self._roots)
        return ProbeResult(
            tuple(self._report(index, it, model) for index, it in enumerate(self._sockets))
        )

    def sample(self) -> Sequence[ChipSample]:
        before, self._ticks = self._ticks, host.cpu_times(self._roots)
        return [
            ChipSample(
                key=_key(socket),
                utilization_ratio=utilization(before, self._ticks, socket.cpus),
                memory_used_bytes=self._memory_used(socket),
                temperature_celsius=self._temperature(socket),
                health=ChipHealth.HEALTHY,
            )
            for socket in self._sockets
        ]

    def holders(self) -> Mapping[str, tuple[int, ...]]:
        """Processors are shared with the host: no process is foreign on them."""
        return {}

    def _report(self, index: int, socket: Socket, model: CpuModel) -> ChipReport:
        return ChipReport(
            key=_key(socket),
            vendor=VENDOR,
            type=type_name(model.name),
            index=index,
            physical_id=socket.package,
            memory_bytes=self._memory_total(socket),
            cores_milli=self._cores_milli(socket),
            dtypes=dtypes(model.flags),
            health=ChipHealth.HEALTHY,
            health_message="Processors that are online work.",
            rates=self._rates(socket, model),
        )

    def _rates(self, socket: Socket, model: CpuModel) -> dict[str, Rate]:
        subject = Subject(_key(socket), socket.cpus, model.name)
        return self.book.rates(subject, self._context.measure)

    def _cores_milli(self, socket: Socket) -> int:
        """The socket's cores; its part of the quota where our control group has a lower one."""
        own = 1000 * len(socket.cpus)
        total = 1000 * sum(len(it.cpus) for it in self._sockets)
        return own * host.capacity(self._roots, self._context.allowed_cpus).cores_milli // total

    def _memory_total(self, socket: Socket) -> int | None:
        """The memory at the socket, never more than we may use of the whole host."""
        usable = host.capacity(self._roots).memory_bytes
        if len(self._sockets) == 1 or usable is None:
            return usable
        totals = [host.memory_info(self._roots, it).get("MemTotal") for it in socket.memory_nodes]
        known = [total for total in totals if total is not None]
        return min(sum(known), usable) if known else None

    def _memory_used(self, socket: Socket) -> int | None:
        if len(self._sockets) == 1:
            info = host.memory_info(self._roots)
            total, available = info.get("MemTotal"), info.get("MemAvailable")
            return None if total is None or available is None else total - available
        used = [_used(host.memory_info(self._roots, it)) for it in socket.memory_nodes]
        known = [it for it in used if it is not None]
        return sum(known) if known else None

    def _temperature(self, socket: Socket) -> float | None:
        """The package's own sensor, where the kernel names one."""
        for label in sorted((self._roots.sys / "class/hwmon").glob("hwmon*/temp*_label")):
            try:
                if label.read_text().strip() == f"Package id {socket.package}":
                    value = label.with_name(label.name.replace("_label", "_input"))
                    return int(value.read_text()) / 1000
            except (OSError, ValueError):
                continue  # a sensor that does not answer is as good as none
        return None


def type_name(model: str) -> str:
    """`cpu-<maker>-<model>` from the processor's own name, without its marks and clock rate."""
    text = re.sub(r"\((?:r|tm|c)\)", "", model.lower())
    text = re.sub(r"@.*|\b\d+-core\b|\b(?:cpu|processor|with)\b", " ", text)
    words = re.findall(r"[a-z0-9]+", text)
    return "-".join([VENDOR, *words])[:63].rstrip("-")


def dtypes(flags: frozenset[str]) -> tuple[str, ...]:
    """Number formats that the processor computes in itself; fp32 and fp64 it always does."""
    extra = (dtype for dtype, names in DTYPE_FLAGS.items() if names & flags)
    return ("fp64", "fp32", *extra)


def utilization(
    before: Mapping[int, tuple[int, int]], after: Mapping[int, tuple[int, int]], cpus: Sequence[int]
) -> float | None:
    """Busy share of the CPUs between two readings, 0 to 1; None when no time went by."""
    seen = [cpu for cpu in cpus if cpu in before and cpu in after]
    busy = sum(after[cpu][0] - before[cpu][0] for cpu in seen)
    total = sum(after[cpu][1] - before[cpu][1] for cpu in seen)
    return min(1.0, max(0.0, busy / total)) if total > 0 else None


def _key(socket: Socket) -> str:
    return f"{VENDOR}-{socket.package}"


def _used(info: Mapping[str, int]) -> int | None:
    """Memory of a node that is neither free nor cache that the kernel can drop."""
    try:
        cache = info["FilePages"] - info["Shmem"] + info.get("SReclaimable", 0)
        return max(0, info["MemTotal"] - info["MemFree"] - cache)
    except KeyError:
        return None
