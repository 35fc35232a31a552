"""The chip vendor that docs/guides/add-a-chip-vendor.md adds: it does not exist."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from tests.guides import SourceCopy, follow

KEY: Final = "tidewater"
CHIP_TYPE: Final = f"{KEY}-t1"
TABLE: Final = "penstock/api/vendors.toml"
PROVIDER: Final = f"agents/node/chips/{KEY}.py"
FIXTURE: Final = f"tests/fixtures/chips/{KEY}/devices.json"


def plant(root: Path) -> SourceCopy:
    """A copy of the source with the vendor in it."""
    return follow("add-a-chip-vendor.md", root)
