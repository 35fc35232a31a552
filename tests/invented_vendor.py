"""A chip vendor that does not exist, added to a copy of the source as a contributor would add one.

`plant` copies the packages into a temporary folder and adds the vendor's row, its provider file
and its fixture there. Processes started with the tree's `environment` run that copy.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[1]
PACKAGES: Final = ("penstock", "control_plane", "scheduler", "agents", "workloads")
KEY: Final = "tidewater"
CHIP_TYPE: Final = f"{KEY}-t1"
TABLE: Final = "penstock/api/vendors.toml"
PROVIDER: Final = f"agents/node/chips/{KEY}.py"
FIXTURE: Final = f"tests/fixtures/chips/{KEY}/devices.json"

ROW: Final = f"""
[{KEY}]
title = "Tidewater (invented)"
pci_ids = ["f00d"]
kubernetes_resources = ["tidewater.example/chip"]
visibility_variable = "TIDEWATER_VISIBLE"
torch_device = "cpu"
collective_backend = "gloo"
backend = "cpu"
"""
DEVICES: Final = """[
  {"serial": "TW-001", "memory_mib": 4096, "used_mib": 512, "busy_percent": 25, "celsius": 50},
  {"serial": "TW-002", "memory_mib": 4096, "used_mib": 0, "busy_percent": null, "celsius": null},
  {"serial": null, "memory_mib": 4096, "used_mib": 0, "busy_percent": 0, "celsius": 20}
]
"""
SOURCE: Final = '''"""Tidewater chips (invented), from the listing that their tool would print."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from agents.node.chips.base import ChipContext, ChipProvider, Dropped, ProbeResult
from penstock.api.chips import ChipReport, ChipSample
from penstock.api.states import ChipHealth

LISTING = Path(__file__).parents[3] / "tests/fixtures/chips/tidewater/devices.json"


def provider(context: ChipContext) -> ChipProvider:
    return Tidewater()


class Tidewater:
    """One chip per line of the listing that has a serial number."""

    def probe(self) -> ProbeResult:
        known = [it for it in _listing() if it["serial"]]
        nameless = [
            Dropped("tidewater", f"chip {number}", "it has no serial number")
            for number, it in enumerate(_listing())
            if not it["serial"]
        ]
        return ProbeResult(tuple(map(_report, range(len(known)), known)), tuple(nameless))

    def sample(self) -> Sequence[ChipSample]:
        return [_sample(it) for it in _listing() if it["serial"]]

    def holders(self) -> Mapping[str, tuple[int, ...]]:
        return {}


def _listing() -> list[dict[str, Any]]:
    devices: list[dict[str, Any]] = json.loads(LISTING.read_text(encoding="utf-8"))
    return devices


def _report(index: int, device: Mapping[str, Any]) -> ChipReport:
    return ChipReport(
        key=device["serial"],
        vendor="tidewater",
        type="tidewater-t1",
        index=index,
        uuid=device["serial"],
        memory_bytes=device["memory_mib"] * 2**20,
        dtypes=("fp32",),
        health=ChipHealth.HEALTHY,
    )


def _sample(device: Mapping[str, Any]) -> ChipSample:
    busy = device["busy_percent"]
    return ChipSample(
        key=device["serial"],
        utilization_ratio=None if busy is None else busy / 100,
        memory_used_bytes=device["used_mib"] * 2**20,
        temperature_celsius=device["celsius"],
        health=ChipHealth.HEALTHY,
    )
'''


@dataclass(frozen=True, slots=True)
class PlantedTree:
    """The copy with the vendor in it, and the hashes of all files before it was added."""

    root: Path
    before: Mapping[str, str]

    @property
    def environment(self) -> dict[str, str]:
        """For processes that are to run the copy instead of the installed packages."""
        return {**os.environ, "PYTHONPATH": str(self.root), "PYTHONDONTWRITEBYTECODE": "1"}

    def changed(self) -> set[str]:
        """Files that are new, gone or of another content than before the vendor was added."""
        return {path for path, _ in self.before.items() ^ _hashes(self.root).items()}

    def run(self, code: str, *arguments: str) -> str:
        """Standard output of Python code run on the copy; raises CalledProcessError."""
        done = subprocess.run(
            [sys.executable, "-c", code, *arguments], cwd=self.root, env=self.environment,
            check=True, text=True, stdout=subprocess.PIPE, timeout=60,
        )  # fmt: skip
        return done.stdout


def plant(root: Path) -> PlantedTree:
    """Copies the packages to `root` and adds the vendor: one row and two files."""
    skip = shutil.ignore_patterns("__pycache__", "*.pyc")
    for package in PACKAGES:
        if (ROOT / package).is_dir():
            shutil.copytree(ROOT / package, root / package, ignore=skip)
    before = _hashes(root)
    with (root / TABLE).open("a", encoding="utf-8") as table:
        table.write(ROW)
    for path, text in ((PROVIDER, SOURCE), (FIXTURE, DEVICES)):
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text, encoding="utf-8")
    return PlantedTree(root, before)


def _hashes(root: Path) -> dict[str, str]:
    return {
        str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(root.rglob("*"))
        if path.is_file() and "__pycache__" not in path.parts
    }
