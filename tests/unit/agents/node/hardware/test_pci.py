"""PCI addresses and which devices count as a vendor's chips."""

from __future__ import annotations

import pytest

from agents.node.hardware.pci import PciDevice, Presence, chips_of, normal_address
from penstock.api.vendors import Vendor


@pytest.mark.parametrize(
    "text,address",
    [
        ("00000000:3B:00.0", "0000:3b:00.0"),
        ("0000:3b:00.0", "0000:3b:00.0"),
        ("3B:00.1", "0000:3b:00.1"),
        ("00010000:3B:00.0", "10000:3b:00.0"),
        ("not an address", "not an address"),
    ],
)
def test_addresses_are_written_as_the_kernel_does(text: str, address: str) -> None:
    assert normal_address(text) == address


def test_only_classes_that_chips_have_count_as_chips() -> None:
    row = Vendor(title="Acme", pci_ids=("abcd",), pci_classes=("12",))
    chip = PciDevice("0000:01:00.0", "abcd", "12")
    others = (PciDevice("0000:02:00.0", "abcd", "03"), PciDevice("0000:03:00.0", "8086", "12"))
    assert chips_of(row, (*others, chip)) == (chip,)


def test_a_vendor_is_excluded_only_by_a_bus_that_was_read() -> None:
    assert Presence((), (), bus_readable=True).excluded
    assert not Presence((), (), bus_readable=False).excluded
    assert not Presence((), ("acme0",), bus_readable=True).excluded
