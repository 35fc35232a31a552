"""What the host's kernel says of its processors and memory, and of the limits set on us.

Sizes are bytes, cores are thousandths of a logical CPU (the unit of a quota).
"""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from agents.node.hardware.roots import HostRoots

UNLIMITED_BYTES: Final = 2**60
"""Version 1 of control groups writes "no limit" as a number near 2**63."""


@dataclass(frozen=True, slots=True)
class Socket:
    """One processor package: its logical CPUs that we may use, and its memory."""

    package: int
    cpus: tuple[int, ...]
    memory_nodes: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class CpuModel:
    """What the processor calls itself. `flags` are the kernel's names of its instructions."""

    name: str
    flags: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Capacity:
    """What this process and its children may use of the host; memory None: not readable."""

    cores_milli: int
    memory_bytes: int | None


def capacity(roots: HostRoots, allowed: frozenset[int] | None = None) -> Capacity:
    """The host's cores and memory, lowered to the CPU set and control group we run in."""
    cores_milli = 1000 * sum(len(socket.cpus) for socket in sockets(roots, allowed))
    quota_milli, limit_bytes = group_limits(roots)
    memory = memory_info(roots).get("MemTotal")
    if limit_bytes is not None and memory is not None:
        memory = min(memory, limit_bytes)
    return Capacity(min(cores_milli, quota_milli or cores_milli), memory)


def sockets(roots: HostRoots, allowed: frozenset[int] | None = None) -> tuple[Socket, ...]:
    """Processor packages by number; one of all CPUs where the kernel shows no topology."""
    packages: dict[int, list[int]] = {}
    for folder in (roots.sys / "devices/system/cpu").glob("cpu[0-9]*"):
        package = _integer(folder / "topology/physical_package_id")
        if package is not None:  # offline CPUs have no topology
            packages.setdefault(max(package, 0), []).append(int(folder.name[3:]))
    packages = packages or {0: list(range(os.cpu_count() or 1))}
    nodes = _memory_nodes(roots)
    found = []
    for package, members in sorted(packages.items()):
        cpus = sorted(cpu for cpu in members if allowed is None or cpu in allowed)
        if cpus:
            owned = tuple(node for node, its in nodes.items() if its & set(members))
            found.append(Socket(package, tuple(cpus), owned))
    return tuple(found)


def cpu_model(roots: HostRoots) -> CpuModel:
    """Name and instruction flags; the platform's own word where /proc has none."""
    facts: dict[str, str] = {}
    for line in _text(roots.proc / "cpuinfo").splitlines():
        name, colon, value = line.partition(":")
        if not line.strip() and facts:
            break
        if colon:
            facts[name.strip().lower()] = value.strip()
    flags = frozenset((facts.get("flags") or facts.get("features") or "").split())
    implementer = facts.get("cpu implementer")
    part = f"{implementer} {facts.get('cpu part', '')}" if implementer else ""
    return CpuModel(facts.get("model name") or part or platform.processor(), flags)


def memory_info(roots: HostRoots, node: int | None = None) -> dict[str, int]:
    """The kernel's memory figures in bytes, of the host or of one memory node."""
    path = roots.proc / "meminfo"
    if node is not None:
        path = roots.sys / f"devices/system/node/node{node}/meminfo"
    found = {}
    for line in _text(path).splitlines():
        name, _, value = line.partition(":")
        words = value.split()
        if len(words) == 2 and words[0].isdigit():
            found[name.split()[-1]] = int(words[0]) * 1024
    if not found and node is None and "SC_PHYS_PAGES" in os.sysconf_names:
        found["MemTotal"] = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return found


def group_limits(roots: HostRoots) -> tuple[int | None, int | None]:
    """(core thousandths, memory bytes) of our control group's root; None where not limited.

    Inside a container that root is the container's own group.
    """
    root = roots.sys / "fs/cgroup"
    quota, _, period = _text(root / "cpu.max").strip().partition(" ")
    if not quota:
        quota = _text(root / "cpu/cpu.cfs_quota_us").strip()
        period = _text(root / "cpu/cpu.cfs_period_us").strip()
    limited = quota.isdigit() and period.isdigit() and int(period) > 0
    cores_milli = int(quota) * 1000 // int(period) if limited else None
    memory = _integer(root / "memory.max")
    if memory is None:
        memory = _integer(root / "memory/memory.limit_in_bytes")
    return cores_milli, memory if memory is not None and memory < UNLIMITED_BYTES else None


def cpu_times(roots: HostRoots) -> dict[int, tuple[int, int]]:
    """(busy, total) clock ticks of every CPU since boot."""
    found = {}
    for line in _text(roots.proc / "stat").splitlines():
        words = line.split()
        if words and words[0].startswith("cpu") and words[0][3:].isdigit():
            ticks = [int(word) for word in words[1:9]]  # guest time is already in user time
            idle = sum(ticks[3:5])
            found[int(words[0][3:])] = (sum(ticks) - idle, sum(ticks))
    return found


def _memory_nodes(roots: HostRoots) -> Mapping[int, set[int]]:
    return {
        int(folder.name[4:]): parse_cpu_list(_text(folder / "cpulist"))
        for folder in sorted((roots.sys / "devices/system/node").glob("node[0-9]*"))
    }


def parse_cpu_list(text: str) -> set[int]:
    """The CPUs in the kernel's notation, such as `0-3,8`."""
    found: set[int] = set()
    for part in text.strip().split(","):
        first, dash, last = part.partition("-")
        if first.isdigit():
            found.update(range(int(first), int(last if dash else first) + 1))
    return found


def _integer(path: Path) -> int | None:
    text = _text(path).strip()
    return int(text) if text.lstrip("-").isdigit() else None


def _text(path: Path) -> str:
    """The file's content; empty when it cannot be read, which means "not known" here."""
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
