"""What a process sees of its vendors' chips."""

from __future__ import annotations

from agents.runtimes.process.environment import visibility
from penstock.api.chips import ChipReport
from penstock.api.vendors import Vendor

GPU = Vendor(title="Acme", visibility_variable="ACME_VISIBLE")


def chip(index: int, **facts: object) -> ChipReport:
    known = {"key": f"k{index}", "vendor": "acme", "type": "acme-1", "index": index}
    return ChipReport.model_validate({**known, **facts})


def test_visibility_lists_chips_by_index() -> None:
    assert visibility([chip(3), chip(1)], {"acme": GPU}) == {"ACME_VISIBLE": "1,3"}


def test_visibility_lists_the_number_that_the_vendor_s_variable_reads() -> None:
    by_uuid = GPU.model_copy(update={"visibility_by": "uuid"})
    chips = [chip(0, uuid="U-a"), chip(1, uuid="U-b")]
    assert visibility(chips, {"acme": by_uuid}) == {"ACME_VISIBLE": "U-a,U-b"}


def test_vendors_without_a_variable_set_none() -> None:
    assert visibility([chip(0)], {"acme": Vendor(title="Acme")}) == {}
    assert visibility([chip(0)], {}) == {}
