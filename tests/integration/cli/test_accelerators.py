"""Which chips of this machine a local cloud presents."""

from __future__ import annotations

from pathlib import Path

from penstock.api.vendors import vendor_table
from penstock.cli.local.accelerators import usable_vendors


def test_a_device_with_a_driver_and_an_agent_that_knows_it_is_presented(tmp_path: Path) -> None:
    vendor, row = next((name, row) for name, row in vendor_table().items() if row.pci_ids)
    bus, dev = tmp_path / "bus", tmp_path / "dev"
    (bus / "0000:01:00.0").mkdir(parents=True)
    (bus / "0000:01:00.0" / "vendor").write_text(f"0x{row.pci_ids[0]}\n")
    (bus / "0000:01:00.0" / "class").write_text(f"0x{row.pci_classes[0]}0000\n")
    dev.mkdir()
    assert usable_vendors(bus, dev) == [], "no driver"
    (dev / row.device_nodes[0].replace("[0-9]*", "0")).touch()
    assert usable_vendors(bus, dev) == [vendor]
