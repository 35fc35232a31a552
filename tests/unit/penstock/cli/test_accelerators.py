"""What a cloud presents where there is no accelerator."""

from __future__ import annotations

from penstock.cli.local.accelerators import DEFAULT_EMULATED, check_emulated


def test_the_default_fleet_is_four_chips_of_two_types_that_exist() -> None:
    check_emulated(DEFAULT_EMULATED)
    counts = dict(part.split(":") for part in DEFAULT_EMULATED.split(","))
    assert counts == {"emulated-a100": "2", "emulated-910b": "2"}
