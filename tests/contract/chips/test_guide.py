"""The guide to adding a vendor lists the providers that exist."""

from __future__ import annotations

import re
from pathlib import Path

from agents.node import chips
from penstock.api.vendors import vendor_table
from tests.guides import ROOT

GUIDE = (ROOT / "docs/guides/add-a-chip-vendor.md").read_text(encoding="utf-8")


def test_the_guide_lists_every_provider_and_calls_none_verified_that_is_not() -> None:
    table = dict(re.findall(r"^\| `(\w+)` \|[^|]*\| ([^|]*) \|$", GUIDE, re.MULTILINE))
    files = Path(chips.__file__).parent.glob("*.py")
    assert set(table) == {it.stem for it in files} - chips.NOT_PROVIDERS
    verified = {key for key, row in vendor_table().items() if row.verified}
    assert {key for key, word in table.items() if word == "verified"} == verified & set(table)
