"""One place in a cgroup tree where this agent may make groups; touches only groups it made."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from agents.runtimes.process.limits import demand as values
from agents.runtimes.process.limits.demand import Demand, Settings
from agents.runtimes.process.limits.mounts import Version
from penstock.api.ids import ReplicaId

_TRIES: Final = 5
OWN_LEAF: Final = "penstock-agent"

_SETTINGS: Final[Mapping[tuple[str, Version], Callable[[Demand], Settings]]] = {
    ("cpu", 1): values.cpu_v1,
    ("memory", 1): values.memory_v1,
    ("cpu", 2): values.cpu_v2,
    ("memory", 2): values.memory_v2,
    ("pids", 1): values.processes,
    ("pids", 2): values.processes,
}


@dataclass(frozen=True, slots=True)
class Hierarchy:
    """`top` is `penstock/<agent>` below `parent`; one group per replica is made below it.

    Nothing is there while no replica runs. Supervisors remove what is empty at any moment.
    """

    version: Version
    parent: Path
    top: Path
    controllers: frozenset[str]

    def group(self, replica_id: ReplicaId) -> Path:
        return self.top / replica_id

    def make(self, demand: Demand) -> Path:
        """The replica's group with its limits set. Raises OSError when one cannot be set."""
        if not self.top.exists():
            self._found()
        for _ in range(_TRIES):
            with suppress(FileNotFoundError):
                return self._make(demand)
            self._found()
        return self._make(demand)

    def _found(self) -> None:
        if self.version == 2:
            delegate(self.parent, self.top, self.controllers, os.getpid())
        else:
            _make_folders(self.top)
        if "cpu" in self.controllers:
            for folder in (self.top.parent, self.top):
                _apply(folder, values.ALL_REPLICAS[self.version])

    def _make(self, demand: Demand) -> Path:
        group = self.group(demand.replica_id)
        group.mkdir(exist_ok=True)
        for controller in sorted(self.controllers):
            if controller != "memory" or demand.memory_bytes:
                _apply(group, _SETTINGS[controller, self.version](demand))
        return group

    def remove(self, replica_id: ReplicaId) -> bool:
        """False while a process is still in the group."""
        try:
            self.group(replica_id).rmdir()
        except FileNotFoundError:
            return True
        except OSError:
            return False
        return True

    def groups(self) -> tuple[str, ...]:
        """Names of the groups that are there."""
        if not self.top.is_dir():
            return ()
        return tuple(sorted(path.name for path in self.top.iterdir() if path.is_dir()))

    def leave(self) -> None:
        """Removes the folders above the replicas' groups, if empty."""
        with suppress(OSError):
            self.top.rmdir()
            self.top.parent.rmdir()


def delegate(parent: Path, top: Path, controllers: frozenset[str], pid: int) -> frozenset[str]:
    """Makes `top` in a v2 tree and returns which of the controllers its groups will have.

    Raises OSError where `parent` holds processes that are not ours to move.
    """
    _vacate(parent, pid)
    _make_folders(top)
    folders = [parent, *reversed([it for it in (top, *top.parents) if parent in it.parents])]
    for folder in folders:
        for controller in sorted(controllers):
            _enable(folder, controller)
    enabled = (top / "cgroup.subtree_control").read_text().split()
    return controllers & frozenset(enabled)


def _vacate(parent: Path, pid: int) -> None:
    """Moves this process into a leaf of its own: a v2 group may not hold processes beside groups.

    Only the machine's root may; it is the one group without a type. Enabling a controller with
    processes there can succeed and make every group below useless ("threaded").
    """
    inside = set((parent / "cgroup.procs").read_text().split())
    if not inside or not (parent / "cgroup.type").exists():
        return
    if inside != {str(pid)}:
        raise OSError(errno.EBUSY, f"other processes are in {parent} beside the agent")
    _make_folders(parent / OWN_LEAF)
    (parent / OWN_LEAF / "cgroup.procs").write_text(str(pid))


def _enable(folder: Path, controller: str) -> None:
    control = folder / "cgroup.subtree_control"
    # Not permitted, or no such controller in this kernel: the caller looks at what came of it.
    with suppress(OSError):
        if controller not in control.read_text().split():
            control.write_text(f"+{controller}")


def _apply(group: Path, settings: Settings) -> None:
    for name, value in settings.items():
        try:
            (group / name).write_text(value)
        except OSError:
            if name not in values.OPTIONAL:
                raise


def _make_folders(path: Path) -> None:
    for _ in range(_TRIES):
        with suppress(FileNotFoundError):
            os.makedirs(path, exist_ok=True)
            return
    os.makedirs(path, exist_ok=True)
