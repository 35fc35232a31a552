"""Builds trees that look like a host's /sys, /dev and /proc, for chip providers to read."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from agents.node.hardware.roots import HostRoots


@dataclass(frozen=True, slots=True)
class HostTree:
    """A host under one folder; every method adds to it and returns it."""

    root: Path

    @property
    def roots(self) -> HostRoots:
        return HostRoots(sys=self.root / "sys", dev=self.root / "dev", proc=self.root / "proc")

    def pci(self, address: str, vendor: str, kind: str = "030200") -> HostTree:
        """One function on the bus: vendor id and class as hex digits."""
        folder = f"sys/bus/pci/devices/{address}"
        return self.file(f"{folder}/vendor", f"0x{vendor}\n").file(f"{folder}/class", f"0x{kind}\n")

    def node(self, name: str) -> HostTree:
        """A device node, as far as its name goes."""
        return self.file(f"dev/{name}", "")

    def socket(self, package: int, cpus: range, memory_kib: int, free_kib: int) -> HostTree:
        """A processor package whose memory node carries its number."""
        for cpu in cpus:
            self.file(f"sys/devices/system/cpu/cpu{cpu}/topology/physical_package_id", f"{package}")
        self.file(f"sys/devices/system/node/node{package}/cpulist", f"{cpus[0]}-{cpus[-1]}\n")
        lines = {"MemTotal": memory_kib, "MemFree": free_kib, "FilePages": 200, "Shmem": 100}
        text = "".join(f"Node {package} {name}: {size} kB\n" for name, size in lines.items())
        return self.file(f"sys/devices/system/node/node{package}/meminfo", text)

    def cpuinfo(self, model: str, flags: str) -> HostTree:
        one = f"processor\t: 0\nmodel name\t: {model}\nflags\t\t: {flags}\n\n"
        return self.file("proc/cpuinfo", one + one.replace(model, "another"))

    def memory(self, total_kib: int, available_kib: int) -> HostTree:
        text = f"MemTotal: {total_kib} kB\nMemAvailable: {available_kib} kB\n"
        return self.file("proc/meminfo", text)

    def busy(self, ticks: dict[int, tuple[int, int]]) -> HostTree:
        """(busy, idle) clock ticks of each CPU since boot."""
        lines = [f"cpu{n} {busy} 0 0 {idle} 0 0 0 0 0 0" for n, (busy, idle) in ticks.items()]
        return self.file("proc/stat", "cpu  0 0 0 0\n" + "\n".join(lines) + "\nintr 1\n")

    def file(self, path: str, text: str) -> HostTree:
        target = self.root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text, encoding="utf-8")
        return self
