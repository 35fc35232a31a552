"""The guide to adding a vendor shows the code that the tests run, and the providers that exist."""

from __future__ import annotations

import re
from pathlib import Path

from agents.node import chips
from penstock.api.vendors import vendor_table
from tests.invented_vendor import ROOT, ROW, SOURCE

GUIDE = (ROOT / "docs/guides/add-a-chip-vendor.md").read_text(encoding="utf-8")


def test_the_example_in_the_guide_is_the_vendor_that_the_tests_plant() -> None:
    assert f"```toml{ROW}```" in GUIDE
    assert f"```python\n{SOURCE}```" in GUIDE


def test_the_guide_lists_every_provider_and_calls_none_verified_that_is_not() -> None:
    table = dict(re.findall(r"^\| `(\w+)` \|[^|]*\| ([^|]*) \|$", GUIDE, re.MULTILINE))
    files = Path(chips.__file__).parent.glob("*.py")
    assert set(table) == {it.stem for it in files} - chips.NOT_PROVIDERS
    verified = {key for key, row in vendor_table().items() if row.verified}
    assert {key for key, word in table.items() if word == "verified"} == verified & set(table)
