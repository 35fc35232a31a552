"""Copies of the tree with one protection undone, to see whether a storm finds what is missing."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.storm.cloud import ROOT

FOLDER: Final = Path(__file__).with_name("holes")
CODE: Final = ("agents", "control_plane", "penstock", "scheduler", "workloads")


@dataclass(frozen=True, slots=True)
class Hole:
    """A unified diff; the lines before it say what it undoes, its kinds and its databases."""

    name: str
    patch: Path

    def head(self, word: str) -> tuple[str, ...]:
        """What the line `word: a,b` before the diff says."""
        for line in self.patch.read_text(encoding="utf-8").splitlines():
            if line.startswith(f"{word}: "):
                return tuple(line.removeprefix(f"{word}: ").split(","))
        return ()

    def tree(self, into: Path) -> Path:
        """A copy of the code with the hole. Raises CalledProcessError where it fits no more."""
        for name in CODE:
            shutil.copytree(ROOT / name, into / name, ignore=shutil.ignore_patterns("__pycache__"))
        command = ["patch", "-p1", "--silent", "--input", str(self.patch)]
        subprocess.run(command, cwd=into, check=True)
        return into


def hole(name: str) -> Hole:
    """Raises LookupError that names the holes there are."""
    found = holes()
    if name not in found:
        raise LookupError(f"there is no hole {name}: {', '.join(sorted(found))}")
    return found[name]


def holes() -> dict[str, Hole]:
    return {it.stem: Hole(it.stem, it) for it in sorted(FOLDER.glob("*.patch"))}
