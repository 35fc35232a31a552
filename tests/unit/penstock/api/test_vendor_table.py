"""The shipped vendor table holds together, and marks what is only believed."""

from __future__ import annotations

import re
from collections import Counter

import pytest

from penstock.api.vendors import Vendor, vendor_table

TABLE = vendor_table()
CHIP_MAKERS = {key: row for key, row in TABLE.items() if key not in {"cpu", "emulated"}}


@pytest.mark.parametrize("key", TABLE)
def test_every_doubted_fact_is_a_fact_of_its_row(key: str) -> None:
    row = TABLE[key]
    for doubted in row.unverified_facts:
        field, colon, value = doubted.partition(":")
        assert field in Vendor.model_fields
        held = getattr(row, field)
        assert value in held if colon else held


@pytest.mark.parametrize("key", CHIP_MAKERS)
def test_a_vendor_that_was_never_run_on_is_not_called_verified(key: str) -> None:
    assert not CHIP_MAKERS[key].verified


def test_pci_ids_tell_vendors_apart() -> None:
    ids = [it for row in TABLE.values() for it in row.pci_ids]
    assert all(re.fullmatch(r"[0-9a-f]{4}", it) for it in ids)
    assert not [it for it, count in Counter(ids).items() if count > 1]


def test_words_that_two_vendors_share_do_not_decide_between_them() -> None:
    assert TABLE["ascend"].collective_backend == TABLE["gaudi"].collective_backend
    assert TABLE["intel"].tools == TABLE["kunlunxin"].tools
    assert TABLE["intel"].pci_ids != TABLE["kunlunxin"].pci_ids


def test_emulated_types_stand_for_several_vendors_and_for_known_ones() -> None:
    stood_for = [it.stands_for.partition("-")[0] for it in TABLE["emulated"].types.values()]
    assert len(set(stood_for)) >= 3
    assert set(stood_for) <= set(CHIP_MAKERS)
    assert all(name.startswith("emulated-") for name in TABLE["emulated"].types)


def test_emulated_chips_fit_a_laptop_and_hold_a_process_with_pytorch() -> None:
    for declared in TABLE["emulated"].types.values():
        assert declared.cores_milli <= 500
        assert declared.memory >= 2 * 2**30


def test_the_pair_of_the_mixed_benchmark_is_two_to_one() -> None:
    types = TABLE["emulated"].types
    assert types["emulated-a100"].cores_milli == 2 * types["emulated-910b"].cores_milli
