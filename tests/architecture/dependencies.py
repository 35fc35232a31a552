"""The rule of the extras: each package imports only what its own row of pyproject.toml names."""

from __future__ import annotations

import re
import sys
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from importlib.metadata import packages_distributions
from typing import Any, Final

from tests.architecture.sources import PACKAGES, ROOT, Source, imported_modules, python_sources

# Package → the extra that an installation needs to run it; None is the bare client.
EXTRA_OF: Final[Mapping[str, str | None]] = {
    "penstock": None,
    "scheduler": "server",
    "control_plane": "server",
    "agents": "agent",
    "workloads": "workload",
}
# Parts of a dependency that are distributed under a name of their own.
_PART_OF: Final = {"kombu": "celery", "pydantic-core": "pydantic"}


def core() -> frozenset[str]:
    """Names of what every installation gets."""
    return _names(_project()["dependencies"])


def extra(name: str) -> frozenset[str]:
    """Names of what one extra adds."""
    return _names(_project()["optional-dependencies"][name])


def undeclared_imports(package: str) -> Iterator[str]:
    """Imports of other people's code that the package's row does not name."""
    optional = EXTRA_OF[package]
    allowed = core() | (extra(optional) if optional else frozenset())
    for source in python_sources(package):
        yield from _undeclared(source, allowed)


def pins() -> dict[str, str]:
    """constraints.txt: normalised name → version. Raises ValueError on any other line."""
    found = {}
    for line in (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines():
        if not line or line.startswith("#"):
            continue
        match = re.fullmatch(r"([A-Za-z0-9._-]+)==([A-Za-z0-9.!+]+)", line)
        if match is None:
            raise ValueError(f"not name==version: {line}")
        found[_normal(match[1])] = match[2]
    return found


def _undeclared(source: Source, allowed: frozenset[str]) -> Iterator[str]:
    for line, module in imported_modules(source):
        top = module.split(".")[0]
        if top in sys.stdlib_module_names or top in PACKAGES:
            continue
        owners = {_normal(owner) for owner in _distributions().get(top, ())}
        owners |= {_PART_OF[owner] for owner in owners if owner in _PART_OF}
        if not owners & allowed and not _is_vendor_file(source.path):
            yield f"{source.path}:{line} imports {top}, which its extra does not name"


def _is_vendor_file(path: str) -> bool:
    """Vendors' own files import vendors' software, which no index carries for everyone."""
    return path.startswith(("agents/node/chips/", "workloads/engine/kernels/"))


@cache
def _project() -> dict[str, Any]:
    table: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    return dict(table["project"])


@cache
def _distributions() -> Mapping[str, list[str]]:
    return packages_distributions()


def _names(requirements: Iterable[str]) -> frozenset[str]:
    return frozenset(_normal(re.split(r"[\s\[<>=!~;]", item)[0]) for item in requirements)


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()
