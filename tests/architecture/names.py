"""Rules about words: vendor names in source, and traces of one machine in any file."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Final

from penstock.api.vendors import vendor_table
from tests.architecture.sources import ROOT, Source, project_files

NO_VENDOR: Final = frozenset({"cpu", "emulated"})
_SOURCE_SUFFIXES: Final = (".py", ".toml", ".json", ".ts", ".tsx", ".sh", ".yaml", ".yml", ".ini")
_SOURCE_TOPS: Final = (
    "penstock", "control_plane", "agents", "scheduler", "workloads", "dashboard",
)  # fmt: skip
_BINARY: Final = (".png", ".jpg", ".ico", ".woff2", ".gz", ".zip", ".safetensors", ".so")
# Written in pieces, so that this file does not break its own rule.
_REGISTRIES: Final = (
    "pypi" + ".org", "python" + "hosted.org", "download.pytorch" + ".org", "npmjs" + ".org",
    "crates" + ".io", "proxy.golang" + ".org", "maven" + ".org", "deb.debian" + ".org",
)  # fmt: skip
_MACHINE_PATHS: Final = r"(?<![\w.$}>-])/(?:root|home/[a-z]\w*|work/(?:main|shared)|opt/wheels)\b"
_ROUTE: Final = re.compile(
    r"""["'/](?:api/)?v1/|["']/(?:healthz|readyz|metrics)|client import routes"""
)
_TRACES: Final = re.compile("|".join([_MACHINE_PATHS, *map(re.escape, _REGISTRIES)]))


def vendor_names() -> frozenset[str]:
    """The keys of the vendor table that name a maker of chips."""
    return frozenset(vendor_table()) - NO_VENDOR


def vendor_names_in(path: str, text: str, vendors: Iterable[str]) -> Iterator[str]:
    """Vendor names in a file that may not hold them, as `path:line name`.

    Names count as words of their own between anything but letters and digits, in code,
    strings and comments alike.
    """
    banned = sorted(name for name in vendors if not _may_name(path, name))
    if not banned:
        return
    word = re.compile(rf"(?<![a-z0-9])({'|'.join(banned)})(?![a-z0-9])", re.IGNORECASE)
    for number, line in enumerate(text.splitlines(), start=1):
        for match in word.finditer(line):
            yield f"{path}:{number} names {match[1]}"


def source_texts() -> Iterator[tuple[str, str]]:
    """(path, text) of every file that counts as source for vendor names."""
    for path in project_files():
        if path.split("/")[0] in _SOURCE_TOPS and path.endswith(_SOURCE_SUFFIXES):
            yield path, (ROOT / path).read_text(encoding="utf-8")


def routes_in(source: Source) -> Iterator[str]:
    """Routes of the API written out, where only a client may know them."""
    for number, line in enumerate(source.lines, start=1):
        if match := _ROUTE.search(line):
            yield f"{source.path}:{number} holds the route {match[0]}"


def machine_traces() -> Iterator[str]:
    """Paths of one machine and hosts of package registries, in any file."""
    for path in project_files():
        if path.endswith(_BINARY):
            continue
        text = (ROOT / path).read_text(encoding="utf-8", errors="replace")
        yield from traces_in(path, text)


def traces_in(path: str, text: str) -> Iterator[str]:
    for number, line in enumerate(text.splitlines(), start=1):
        if match := _TRACES.search(line):
            yield f"{path}:{number} holds {match[0]}"


def _may_name(path: str, vendor: str) -> bool:
    """The vendor table, the vendor's own agent file, and kernel backends."""
    return (
        path == "penstock/api/vendors.toml"
        or path == f"agents/node/chips/{vendor}.py"
        or path.startswith("workloads/engine/kernels/")
    )
