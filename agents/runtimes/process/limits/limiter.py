"""Finds out which limits this machine permits, makes the replicas' groups, reads their use."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import structlog

from agents.runtimes.base import Use
from agents.runtimes.process.limits import demand as values
from agents.runtimes.process.limits.demand import Demand
from agents.runtimes.process.limits.hierarchy import Hierarchy, delegate
from agents.runtimes.process.limits.mounts import Mount, candidates_v2, parse_mounts, parse_places
from agents.runtimes.process.supervisor import processes
from penstock.api.ids import ReplicaId
from penstock.json_types import Json

log = structlog.get_logger()

LIMITED: Final = ("cpu", "memory", "pids")
_PROBE: Final = Demand(ReplicaId("probe"), cores_milli=500, memory_bytes=64 << 20, hard=True)
_FALLBACK_TEXT: Final = {
    "cpu": "no cgroup permitted: emulated chips and fractions are stopped and continued in turn",
    "memory": "no cgroup permitted: watched every 100 ms, RLIMIT_DATA as a ceiling",
    "pids": "no cgroup permitted: not limited",
}


@dataclass(frozen=True, slots=True)
class Limiter:
    """The hierarchies in use; a controller in none of them is limited by the fallback."""

    hierarchies: tuple[Hierarchy, ...] = ()
    fallback: bool = sys.platform == "linux"

    def make(self, demand: Demand) -> Json:
        """Makes the replica's groups; returns the `limits` of its supervisor's spec.

        Raises OSError when a limit that this machine permitted cannot be set now.
        """
        limits: Json = {"cgroups": [], "memory_limit_bytes": demand.memory_bytes or None}
        for hierarchy in self.hierarchies:
            group = hierarchy.make(demand)
            limits["cgroups"].append(str(group))
            if hierarchy.version == 2 and (group / "cgroup.kill").exists():
                limits["kill_file"] = str(group / "cgroup.kill")
            if "memory" in hierarchy.controllers:
                limits |= _memory_files(hierarchy.version, group)
        if self.fallback and self._of("cpu") is None:
            limits |= values.fallback_cpu(demand)
        if self.fallback and self._of("memory") is None:
            limits |= values.fallback_memory(demand)
        return limits

    def use(self, replica_id: ReplicaId, supervisor_pid: int | None) -> Use:
        """CPU seconds and working set so far, from its groups, else from /proc."""
        groups = [(it.version, it.group(replica_id)) for it in self.hierarchies]
        cpu_s = next((it for it in (_cpu_s(v, g) for v, g in groups) if it is not None), None)
        memory = next((it for it in (_working_set(v, g) for v, g in groups) if it), None)
        if supervisor_pid is not None and (cpu_s is None or memory is None):
            pids = processes.descendants(supervisor_pid)
            seen = Use(
                sum(map(processes.cpu_ns, pids)) / 1e9, sum(map(processes.private_bytes, pids))
            )
            cpu_s = seen.cpu_s if cpu_s is None else cpu_s
            memory = seen.memory_bytes if memory is None else memory
        return Use(cpu_s, memory)

    def clear(self, replica_id: ReplicaId) -> bool:
        """Kills what is left in the replica's groups; False while something still ends there."""
        removed = True
        for hierarchy in self.hierarchies:
            _kill(hierarchy.group(replica_id))
            removed &= hierarchy.remove(replica_id)
            hierarchy.leave()
        return removed

    def strangers(self, known: Iterable[ReplicaId]) -> frozenset[ReplicaId]:
        """Groups of replicas that are not among `known`."""
        there = {ReplicaId(name) for hierarchy in self.hierarchies for name in hierarchy.groups()}
        return frozenset(there - set(known))

    def leave(self) -> None:
        """Removes the agent's own folders, if no replica is left in them."""
        for hierarchy in self.hierarchies:
            hierarchy.leave()

    def describe(self) -> dict[str, str]:
        """How each limit is enforced, in words for people."""
        words = {}
        for controller in LIMITED:
            hierarchy = self._of(controller)
            if hierarchy is not None:
                words[controller] = f"cgroup v{hierarchy.version}"
            else:
                words[controller] = (
                    _FALLBACK_TEXT[controller] if self.fallback else "not enforced on this system"
                )
        words["link"] = "paced by the engine; other programs are told of it, not held to it"
        return words

    def _of(self, controller: str) -> Hierarchy | None:
        return next((it for it in self.hierarchies if controller in it.controllers), None)


def detect(agent_id: str, proc: Path = Path("/proc/self")) -> Limiter:
    """What this machine permits this process, found by trying with a process of its own."""
    try:
        mounts = parse_mounts((proc / "mountinfo").read_text())
        places = parse_places((proc / "cgroup").read_text())
    except OSError:
        return Limiter()
    kept: list[Hierarchy] = []
    missing = frozenset(LIMITED)
    for mount in sorted(mounts, key=lambda it: -it.version):
        tops = candidates_v2(mount, places) if mount.version == 2 else (mount.path,)
        for parent in tops:
            hierarchy = _tried(mount, Path(parent), agent_id, missing)
            if hierarchy is not None:
                kept.append(hierarchy)
                missing -= hierarchy.controllers
                break
    return Limiter(tuple(kept))


def _tried(mount: Mount, parent: Path, agent_id: str, missing: frozenset[str]) -> Hierarchy | None:
    """A hierarchy that works, or None. A v2 tree is worth having for killing alone."""
    top = parent / "penstock" / agent_id
    wanted = missing if mount.version == 2 else missing & mount.controllers
    if mount.version == 1 and not wanted:
        return None
    try:
        if mount.version == 2:
            wanted = delegate(parent, top, wanted, os.getpid())
        hierarchy = Hierarchy(mount.version, parent, top, wanted)
        _try(hierarchy)
    except OSError as error:
        log.info("cgroup_not_permitted", path=str(top), error=str(error))
        return None
    return hierarchy


def _try(hierarchy: Hierarchy) -> None:
    """Puts a process under a limit and takes it out again. Raises OSError where not permitted."""
    command = [sys.executable, "-I", "-S", "-E", "-c", "import sys; sys.stdin.read()"]
    with subprocess.Popen(command, stdin=subprocess.PIPE) as process:
        try:
            group = hierarchy.make(_PROBE)
            (group / "cgroup.procs").write_text(str(process.pid))
        finally:
            process.kill()
            process.wait()
            hierarchy.remove(_PROBE.replica_id)
            hierarchy.leave()


def _memory_files(version: int, group: Path) -> dict[str, str]:
    oom, peak = (
        ("memory.oom_control", "memory.max_usage_in_bytes")
        if version == 1
        else ("memory.events", "memory.peak")
    )
    return {"oom_file": str(group / oom), "peak_file": str(group / peak)}


def _cpu_s(version: int, group: Path) -> float | None:
    if version == 1:
        return None  # kept by another hierarchy
    usec = _statistic(group / "cpu.stat", "usage_usec")
    return None if usec is None else usec / 1e6


def _working_set(version: int, group: Path) -> int | None:
    """Memory less the page cache that could go at once, as container tools count it."""
    name, idle = (
        ("memory.usage_in_bytes", "total_inactive_file")
        if version == 1
        else ("memory.current", "inactive_file")
    )
    try:
        used = int((group / name).read_text())
    except (OSError, ValueError):
        return None
    return max(0, used - (_statistic(group / "memory.stat", idle) or 0))


def _statistic(path: Path, key: str) -> int | None:
    try:
        pairs = (line.split() for line in path.read_text().splitlines())
        return next((int(value) for name, value in pairs if name == key), None)
    except (OSError, ValueError):
        return None


def _kill(group: Path) -> None:
    kill_file = group / "cgroup.kill"
    if not group.is_dir():
        return
    try:
        kill_file.write_text("1")
    except OSError:
        processes.signal_all(processes.members(str(group)), signal.SIGKILL)
