"""Which chips a local cloud should present: real ones where there are any, else emulated ones."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Final

from penstock.cli.failures import CliError

DEFAULT_EMULATED: Final = "emulated-a100:2,emulated-910b:2"
_PCI: Final = Path("/sys/bus/pci/devices")
_DEV: Final = Path("/dev")


def usable_vendors(pci: Path = _PCI, dev: Path = _DEV) -> list[str]:
    """Vendors with a device on the bus, a driver's device node, and an agent that can use it."""
    from penstock.api.vendors import vendor_table

    bus = _bus(pci)
    return [
        name
        for name, row in vendor_table().items()
        if any((pci, kind) in bus for pci in row.pci_ids for kind in row.pci_classes)
        and any(True for pattern in row.device_nodes for _ in dev.glob(pattern))
        and _agent_knows(name)
    ]


def check_emulated(text: str) -> None:
    """Raises CliError unless the text is TYPE:COUNT,TYPE:COUNT with types that exist."""
    from penstock.api.vendors import vendor_table
    from penstock.documents.violations import nearest

    types = [name for row in vendor_table().values() for name in row.types]
    for part in text.split(","):
        name, _, count = part.strip().partition(":")
        if not count.isdecimal() or int(count) < 1:
            raise CliError("bad_emulate", f"--emulate must be TYPE:COUNT,…, not `{part}`")
        if name not in types:
            violation = {"pointer": "", "message": f"--emulate: there is no chip type `{name}`",
                         "did_you_mean": nearest(name, types), "allowed": types}  # fmt: skip
            raise CliError("unknown_chip_type", "unknown chip type", errors=[violation])


def _bus(pci: Path) -> set[tuple[str, str]]:
    """(vendor, base class) of every device on the PCI bus, in lower-case hex."""
    found = set()
    for folder in pci.glob("*"):
        try:
            words = [(folder / name).read_text().strip().lower() for name in ("vendor", "class")]
        except OSError:
            continue
        vendor, kind = (word.removeprefix("0x") for word in words)
        found.add((vendor, kind[:2]))
    return found


def _agent_knows(vendor: str) -> bool:
    try:
        return importlib.util.find_spec(f"agents.node.chips.{vendor}") is not None
    except ModuleNotFoundError:
        return False
