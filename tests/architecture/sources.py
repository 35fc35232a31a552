"""Which files the architecture rules look at, and their text and syntax trees. No rules."""

from __future__ import annotations

import ast
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[2]
PACKAGES: Final = ("penstock", "control_plane", "agents", "scheduler", "workloads")
_NOT_OURS: Final = {".git", ".venv", "node_modules", "__pycache__", "build", "dist"}

Function = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True, slots=True)
class Source:
    """One Python file, its path relative to the root with forward slashes."""

    path: str
    text: str

    @property
    def tree(self) -> ast.Module:
        return _parse(self)

    @property
    def lines(self) -> Sequence[str]:
        return self.text.splitlines()


@cache
def project_files() -> tuple[str, ...]:
    """Every file that is, or is about to be, in the repository; sorted relative paths."""
    if (ROOT / ".git").exists():
        found = _git_files()
    else:
        found = [path.relative_to(ROOT).as_posix() for path in ROOT.rglob("*")]
    ours = (path for path in found if not _NOT_OURS & set(Path(path).parts))
    return tuple(sorted(path for path in ours if (ROOT / path).is_file()))


@cache
def python_sources(*tops: str) -> tuple[Source, ...]:
    """The Python files below the given top folders."""
    return tuple(
        Source(path, (ROOT / path).read_text(encoding="utf-8"))
        for path in project_files()
        if path.endswith(".py") and path.split("/")[0] in tops
    )


def functions(source: Source) -> Iterator[Function]:
    """All functions and methods of a file, nested ones too."""
    for node in ast.walk(source.tree):
        if isinstance(node, Function):
            yield node


def imported_modules(source: Source) -> Iterator[tuple[int, str]]:
    """(line, module) of each import anywhere in the file; `from a import b` gives `a.b`."""
    for node in ast.walk(source.tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield from ((node.lineno, f"{node.module}.{alias.name}") for alias in node.names)


def dotted(node: ast.expr) -> str:
    """`a.b.c` for a chain of names and attributes, otherwise an empty string."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        owner = dotted(node.value)
        return f"{owner}.{node.attr}" if owner else ""
    return ""


@cache
def _parse(source: Source) -> ast.Module:
    return ast.parse(source.text, filename=source.path)


def _git_files() -> list[str]:
    listing = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    return [path for path in listing.stdout.split("\0") if path]
