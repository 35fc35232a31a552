"""Finds and ends every process of a replica, however far it strayed from its parent."""

from __future__ import annotations

import os
import signal
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from agents.runtimes.process.supervisor.spec import Limits

PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
_CPU_CLOCK_OF_PROCESS = 2  # CPUCLOCK_SCHED: the kernel's way to name another process's CPU clock


def descendants(root: int) -> list[int]:
    """Pids below `root`, parents first; without /proc, none."""
    try:
        return _by_children(root)
    except FileNotFoundError:
        return _by_parents(root)


def children(pid: int) -> list[int]:
    """Pids of the processes whose parent it is, those that only wait to be reaped included."""
    return [child for child in descendants(pid) if parent(child) == pid]


def parent(pid: int) -> int:
    """-1 when it is gone."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            return int(file.read().rpartition(b")")[2].split()[1])
    except OSError:
        return -1


def signal_all(pids: Iterable[int], number: int) -> None:
    """Sends the signal to each; one that has gone meanwhile is passed over."""
    for pid in pids:
        try:
            os.kill(pid, number)
        except (ProcessLookupError, PermissionError):
            continue


def kill_group_of(leader: int, number: int) -> None:
    """Signals the process group that `leader` founded, if any of it is left."""
    try:
        os.killpg(leader, number)
    except (ProcessLookupError, PermissionError):
        return


def kill_all(limits: Limits, root: int | None = None) -> None:
    """SIGKILL to everything in the replica's cgroups and, given `root`, below it."""
    if limits.kill_file is None or not _write(limits.kill_file, "1"):
        for group in limits.cgroups:
            signal_all(members(group), signal.SIGKILL)
    if root is not None:
        signal_all(descendants(root), signal.SIGKILL)


def members(group: str) -> list[int]:
    """Pids in a cgroup; none when it is gone."""
    try:
        with open(os.path.join(group, "cgroup.procs"), encoding="ascii") as file:
            return [int(line) for line in file]
    except OSError:
        return []


def cpu_ns(pid: int) -> int:
    """CPU time of one process with its threads; 0 when it is gone."""
    try:
        return time.clock_gettime_ns((~pid << 3) | _CPU_CLOCK_OF_PROCESS)
    except OSError:
        return 0


def private_bytes(pid: int) -> int:
    """Resident memory of one process that it does not share; 0 when it is gone."""
    try:
        with open(f"/proc/{pid}/statm", encoding="ascii") as file:
            _, resident, shared, *_ = file.read().split()
    except OSError:
        return 0
    return max(0, int(resident) - int(shared)) * PAGE_BYTES


def _by_children(root: int) -> list[int]:
    found: list[int] = []
    todo = [root]
    while todo:
        pid = todo.pop()
        for thread in _threads(pid, known=pid != root):
            children = _children(pid, thread)
            found.extend(children)
            todo.extend(children)
    return found


def _threads(pid: int, known: bool) -> list[str]:
    try:
        return os.listdir(f"/proc/{pid}/task")
    except FileNotFoundError:
        if known:
            return []
        raise


def _children(pid: int, thread: str) -> list[int]:
    try:
        with open(f"/proc/{pid}/task/{thread}/children", encoding="ascii") as file:
            return [int(child) for child in file.read().split()]
    except ProcessLookupError:
        return []
    except FileNotFoundError:
        if os.path.exists(f"/proc/{pid}/task/{thread}"):
            raise  # a kernel without CONFIG_PROC_CHILDREN
        return []


def _by_parents(root: int) -> list[int]:
    parents: dict[int, list[int]] = {}
    for name in os.listdir("/proc") if os.path.isdir("/proc") else ():
        if name.isdigit():
            parents.setdefault(parent(int(name)), []).append(int(name))
    found: list[int] = []
    todo = [root]
    while todo:
        children = parents.get(todo.pop(), [])
        found.extend(children)
        todo.extend(children)
    return found


def _write(path: str, text: str) -> bool:
    try:
        with open(path, "w", encoding="ascii") as file:
            file.write(text)
    except OSError:
        return False
    return True
