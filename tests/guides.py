"""Follows a guide of docs/guides in a copy of the source, word for word.

A code block is a step where the text before it ends with one of:

    New file `path`:                      the block is the whole file
    Append to `path`:                     the block comes at its end
    In `path`, after `line`:              the block comes below the one line that has this text
    In `path`, before `line`:             the block comes above it

Indentation is the block's own. `NNNN` stands for the number of the next revision of the schema
and `LAST` for the one before it.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[1]
PACKAGES: Final = ("penstock", "control_plane", "scheduler", "agents", "workloads")
REVISIONS: Final = "control_plane/store/migrations/versions"
_BLOCK: Final = re.compile(r"(?P<words>(?:[^\n]+\n)*[^\n]+):\n\n```\w*\n(?P<code>.*?)```", re.S)
_STEP: Final = re.compile(
    r"(?:New file|(?P<append>Append to)|In)\s`(?P<path>[^`]+)`"
    r"(?:,\s(?P<side>after|before)\s`(?P<line>[^`]+)`)?$"
)


@dataclass(frozen=True, slots=True)
class SourceCopy:
    """A copy of the packages, and the hashes of its files before anything was added."""

    root: Path
    before: Mapping[str, str]

    @property
    def environment(self) -> dict[str, str]:
        """For processes that are to run the copy instead of the installed packages."""
        return {**os.environ, "PYTHONPATH": str(self.root), "PYTHONDONTWRITEBYTECODE": "1"}

    def changed(self) -> set[str]:
        """Files that are new, gone or of another content than at first."""
        return {path for path, _ in self.before.items() ^ _hashes(self.root).items()}

    def run(self, code: str, *arguments: str) -> str:
        """Standard output of Python code run on the copy; raises CalledProcessError."""
        done = subprocess.run(
            [sys.executable, "-c", code, *arguments],
            cwd=self.root,
            env=self.environment,
            check=True,
            text=True,
            stdout=subprocess.PIPE,
            timeout=60,
        )
        return done.stdout


def follow(guide: str, root: Path) -> SourceCopy:
    """Copies the packages to `root` and does there what docs/guides/`guide` says."""
    skip = shutil.ignore_patterns("__pycache__", "*.pyc")
    for package in PACKAGES:
        shutil.copytree(ROOT / package, root / package, ignore=skip)
    copy = SourceCopy(root, _hashes(root))
    text = (ROOT / "docs/guides" / guide).read_text(encoding="utf-8")
    num_steps = 0
    for step, code in _steps(text):
        _do(step, code, root)
        num_steps += 1
    assert num_steps, f"{guide} has no step that could be followed"
    return copy


def _steps(text: str) -> Iterator[tuple[re.Match[str], str]]:
    for block in _BLOCK.finditer(text):
        step = _STEP.search(block["words"])
        if step is not None:
            yield step, block["code"]


def _do(step: re.Match[str], code: str, root: Path) -> None:
    revisions = sorted(it.name[:4] for it in (root / REVISIONS).glob("[0-9]*.py"))
    last, following = revisions[-1], f"{int(revisions[-1]) + 1:04}"
    path = root / step["path"].replace("NNNN", following)
    code = code.replace("NNNN", following).replace("LAST", last)
    if step["line"] is not None:
        lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
        found = [at for at, line in enumerate(lines) if step["line"] in line]
        assert len(found) == 1, f"{step['path']}: {len(found)} lines with `{step['line']}`"
        at = found[0] + (step["side"] == "after")
        path.write_text("".join([*lines[:at], code, *lines[at:]]), encoding="utf-8")
    elif step["append"]:
        with path.open("a", encoding="utf-8") as file:
            file.write("\n\n" + code)
    else:
        assert not path.exists(), f"{step['path']} is there already"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(code, encoding="utf-8")


def _hashes(root: Path) -> dict[str, str]:
    return {
        str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(root.rglob("*"))
        if path.is_file() and "__pycache__" not in path.parts
    }
