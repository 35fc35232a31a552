"""Reads which cgroup hierarchies a machine has and where this process stands in them. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Literal

Version = Literal[1, 2]


@dataclass(frozen=True, slots=True)
class Mount:
    """One mounted hierarchy. `root` is the group shown at `path`; v2 lists no controllers."""

    version: Version
    path: PurePosixPath
    root: PurePosixPath
    controllers: frozenset[str] = frozenset()


def parse_mounts(mountinfo: str) -> tuple[Mount, ...]:
    """The cgroup lines of /proc/self/mountinfo, in their order."""
    found: list[Mount] = []
    for line in mountinfo.splitlines():
        before, separator, after = line.partition(" - ")
        fields, kind = before.split(), after.split()
        if not separator or len(fields) < 5 or len(kind) < 3:
            continue
        root, path = PurePosixPath(_unescaped(fields[3])), PurePosixPath(_unescaped(fields[4]))
        if kind[0] == "cgroup2":
            found.append(Mount(2, path, root))
        elif kind[0] == "cgroup":
            found.append(Mount(1, path, root, frozenset(kind[2].split(","))))
    return tuple(found)


def parse_places(cgroup: str) -> Mapping[str, PurePosixPath]:
    """/proc/self/cgroup as controller to group; the v2 hierarchy's key is the empty string."""
    places: dict[str, PurePosixPath] = {}
    for line in cgroup.splitlines():
        _, controllers, path = line.split(":", 2)
        for controller in controllers.split(","):
            places[controller] = PurePosixPath(path)
    return places


def candidates_v2(mount: Mount, places: Mapping[str, PurePosixPath]) -> tuple[PurePosixPath, ...]:
    """Folders that may allow groups of our own: the top, then what a manager delegated to us."""
    own = places.get("", PurePosixPath("/"))
    try:
        inside = mount.path / own.relative_to(mount.root)
    except ValueError:
        inside = mount.path
    wanted = (mount.path, inside.parent if inside != mount.path else inside, inside)
    return tuple(dict.fromkeys(wanted))


def _unescaped(text: str) -> str:
    """mountinfo writes blanks, tabs, line ends and backslashes in octal."""
    for code, character in (("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")):
        text = text.replace(code, character)
    return text
