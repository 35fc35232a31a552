"""Which of a vendor's devices the kernel shows: on the PCI bus and as device nodes.

Presence only; what a device is called and how it fares is asked of the vendor's library.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from agents.node.hardware.roots import HostRoots
from penstock.api.vendors import Vendor


@dataclass(frozen=True, slots=True)
class PciDevice:
    """One function on the bus. `vendor` and `base_class` are lower-case hex without 0x."""

    address: str
    vendor: str
    base_class: str


@dataclass(frozen=True, slots=True)
class Presence:
    """What the kernel shows of one vendor."""

    pci: tuple[PciDevice, ...]
    nodes: tuple[str, ...]
    bus_readable: bool

    @property
    def excluded(self) -> bool:
        """True when the bus was read and nothing of the vendor is there."""
        return self.bus_readable and not self.pci and not self.nodes


def presence(row: Vendor, roots: HostRoots) -> Presence:
    """The vendor's chips on the bus, and its device nodes as names below /dev."""
    bus = read_bus(roots)
    nodes = (path for pattern in row.device_nodes for path in roots.dev.glob(pattern))
    names = sorted({str(path.relative_to(roots.dev)) for path in nodes})
    return Presence(chips_of(row, bus), tuple(names), bool(bus))


def chips_of(row: Vendor, bus: Sequence[PciDevice]) -> tuple[PciDevice, ...]:
    """Those devices that are the vendor's and of a class that the vendor's chips have."""
    return tuple(it for it in bus if it.vendor in row.pci_ids and it.base_class in row.pci_classes)


def read_bus(roots: HostRoots) -> tuple[PciDevice, ...]:
    """Every readable device of the bus by address; empty where there is no bus to read."""
    found = []
    for folder in sorted((roots.sys / "bus/pci/devices").glob("*")):
        try:
            vendor = (folder / "vendor").read_text().strip().removeprefix("0x")
            kind = (folder / "class").read_text().strip().removeprefix("0x")
        except OSError:
            continue  # unplugged meanwhile, or hidden from this container
        found.append(PciDevice(normal_address(folder.name), vendor.lower(), kind[:2].lower()))
    return tuple(found)


def normal_address(text: str) -> str:
    """`0000:3b:00.0` from any spelling: 8-digit domains and capitals become the kernel's form."""
    match = re.fullmatch(r"(?:([0-9a-f]{4,8}):)?([0-9a-f]{2}):([0-9a-f]{2})\.([0-7])", text.lower())
    if match is None:
        return text.lower()
    return f"{int(match[1] or '0', 16):04x}:{match[2]}:{match[3]}.{match[4]}"
