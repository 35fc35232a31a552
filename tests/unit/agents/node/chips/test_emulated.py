"""Emulated chips: what they declare, how they are written down, how their use is read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from agents.node.chips.base import ChipContext, HeldUse
from agents.node.chips.emulated import EmulatedProvider, InvalidFleet, parse_fleet
from penstock.api.ids import ReplicaId
from penstock.api.vendors import vendor_table

TYPES = vendor_table()["emulated"].types


@dataclass
class Node:
    """A clock and the holders of chips, both moved by hand."""

    now_s: float = 100.0
    held: dict[str, Sequence[HeldUse]] = field(default_factory=dict)

    def use(self) -> Mapping[str, Sequence[HeldUse]]:
        return self.held

    def provider(self, fleet: str, *, with_use: bool = True) -> EmulatedProvider:
        use = self.use if with_use else None
        context = ChipContext(
            vendor_table(), Path("never"), fleet, use=use, clock=lambda: self.now_s
        )
        provider = EmulatedProvider(context)
        provider.probe()
        return provider


def test_a_fleet_is_written_as_types_with_counts() -> None:
    assert parse_fleet("emulated-a100:2, emulated-910b", TYPES) == (
        "emulated-a100",
        "emulated-a100",
        "emulated-910b",
    )
    assert parse_fleet("", TYPES) == ()
    assert parse_fleet("emulated-a100:0", TYPES) == ()


@pytest.mark.parametrize(
    "text,message",
    [
        ("emulated-a10:2", "Did you mean emulated-a100"),
        ("emulated-a100:two", "must be TYPE:COUNT"),
        ("emulated-a100:-1", "must be TYPE:COUNT"),
        ("nvidia-a100:1", "is no emulated chip type"),
        ("emulated-a100:999999", "more than 100000"),
    ],
)
def test_a_wrong_fleet_is_refused_in_words(text: str, message: str) -> None:
    with pytest.raises(InvalidFleet, match=message):
        parse_fleet(text, TYPES)


def test_an_emulated_chip_never_carries_the_vendor_it_stands_for() -> None:
    fleet = ",".join(TYPES)
    for chip in EmulatedProvider(ChipContext(vendor_table(), Path("never"), fleet)).probe().chips:
        assert chip.vendor == "emulated"
        assert chip.emulated
        assert chip.type.startswith("emulated-")
        assert chip.stands_for == TYPES[chip.type].stands_for
        assert "mulated" in chip.health_message
        assert {it.origin for it in chip.rates.values()} == {"declared"}


def test_chips_carry_their_declared_limits_and_stable_keys() -> None:
    context = ChipContext(vendor_table(), Path("never"), "emulated-a100:1,emulated-910b:2")
    chips = EmulatedProvider(context).probe().chips
    assert [(it.key, it.index, it.cores_milli) for it in chips] == [
        ("emulated-a100-0", 0, 500),
        ("emulated-910b-0", 1, 250),
        ("emulated-910b-1", 2, 250),
    ]
    assert chips[0].memory_bytes == 2 * 2**30
    assert chips[0].link_bytes_per_s == 1e9
    assert (chips[0].uuid, chips[0].pci_address, chips[0].driver_version) == (None, None, None)


def test_use_is_the_holders_cpu_time_over_what_the_chip_grants() -> None:
    node = Node(
        held={
            "emulated-a100-0": [HeldUse(ReplicaId("r1"), 4.0, 7), HeldUse(ReplicaId("r2"), 1.0, 3)]
        }
    )
    provider = node.provider("emulated-a100:2")
    provider.sample()
    node.now_s += 10
    node.held = {
        "emulated-a100-0": [HeldUse(ReplicaId("r1"), 5.5, 7), HeldUse(ReplicaId("r2"), 2.0, 3)]
    }
    busy, idle = provider.sample()
    assert busy.utilization_ratio == pytest.approx(2.5 / (10 * 0.5))
    assert busy.memory_used_bytes == 10
    assert (idle.utilization_ratio, idle.memory_used_bytes) == (0.0, 0)


def test_a_replica_that_came_between_two_readings_counts_from_its_start() -> None:
    node = Node()
    provider = node.provider("emulated-a100:1")
    provider.sample()
    node.now_s += 10
    node.held = {"emulated-a100-0": [HeldUse(ReplicaId("new"), 1.0, None)]}
    (sample,) = provider.sample()
    assert sample.utilization_ratio == pytest.approx(0.2)
    assert sample.memory_used_bytes is None


def test_the_first_reading_and_unknown_use_are_null() -> None:
    node = Node(held={"emulated-a100-0": [HeldUse(ReplicaId("r1"), None, 1)]})
    provider = node.provider("emulated-a100:1")
    assert provider.sample()[0].utilization_ratio is None
    node.now_s += 10
    assert provider.sample()[0].utilization_ratio is None
    blind = node.provider("emulated-a100:1", with_use=False)
    blind.sample()
    node.now_s += 10
    (sample,) = blind.sample()
    assert (sample.utilization_ratio, sample.memory_used_bytes) == (None, None)


def test_what_an_emulated_chip_does_not_have_is_null() -> None:
    (sample,) = Node().provider("emulated-a100:1").sample()
    assert (sample.temperature_celsius, sample.power_watts) == (None, None)
