"""What a node may say that it has."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from penstock.api.assignments import Inventory

CHIP = {"key": "a", "vendor": "emulated", "type": "emulated-a100", "index": 0}


def _chips(number: int) -> list[dict[str, Any]]:
    return [{**CHIP, "key": f"c{index}", "index": index} for index in range(number)]


def _inventory(**fields: Any) -> Inventory:
    return Inventory.model_validate({"cores_milli": 1000, "memory_bytes": 2**30, **fields})


def test_the_largest_machines_that_there_are_fit() -> None:
    machine = {"cores_milli": 2_000_000, "memory_bytes": 2**46, "chips": _chips(256)}
    assert len(_inventory(**machine).chips) == 256


@pytest.mark.parametrize(
    "fields",
    [
        {"chips": _chips(5000)},
        {"memory_bytes": 2**62},
        {"memory_bytes": -1},
        {"cores_milli": 2**40},
        {"cores_milli": -1},
        {"labels": {str(number): "" for number in range(65)}},
        {"labels": {"k": "v" * 257}},
        {"labels": {"k" * 257: "v"}},
        {"address": "a" * 257},
        {"limits": {str(number): "" for number in range(65)}},
        {"dropped": ["x"] * 1001},
        {"chips": [CHIP, {**CHIP, "index": 1}]},
        {"chips": [CHIP, {**CHIP, "key": "b"}]},
        {"chips": [{**CHIP, "index": -1}]},
        {"chips": [{**CHIP, "index": 65536}]},
        {"chips": [{**CHIP, "memory_bytes": 2**62}]},
        {"chips": [{**CHIP, "memory_bytes": -1}]},
        {"chips": [{**CHIP, "cores_milli": 2**62}]},
        {"chips": [{**CHIP, "key": "k" * 129}]},
        {"chips": [{**CHIP, "type": "t" * 129}]},
        {"chips": [{**CHIP, "type": "A100, any"}]},
        {"chips": [{**CHIP, "vendor": ""}]},
        {"chips": [{**CHIP, "dtypes": ["fp32"] * 65}]},
        {"chips": [{**CHIP, "uuid": "u" * 129}]},
        {"chips": [{**CHIP, "link_bytes_per_s": 1e30}]},
    ],
)
def test_what_no_machine_has_is_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        _inventory(**fields)


def test_what_drivers_say_is_cut_and_not_refused() -> None:
    chip = {**CHIP, "health_message": "x" * 10_000}
    found = _inventory(chips=[chip], dropped=["y" * 10_000], platform="z" * 10_000)
    lengths = (len(found.chips[0].health_message), len(found.dropped[0]), len(found.platform))
    assert lengths == (1000, 1000, 256)
