"""Finds and ends processes of a replica from outside, whatever became of its supervisor.

Each is known by at least one mark: descent from the supervisor or from the replica's init, the
session that the replica founded, its folder in its environment, its output as an open file. Control
groups are the limiter's. Who decides that a replica has to end stands elsewhere.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from agents.runtimes.process.folders import WORK
from agents.runtimes.process.supervisor import files, processes
from penstock.api.ids import ReplicaId
from penstock.json_types import JsonView

SUPERVISOR: Final = Path(__file__).parent / "supervisor" / "__main__.py"
_SCRIPT: Final = os.fsencode(Path(*SUPERVISOR.parts[-2:]))  # of any installation and any release
_END_S: Final = 0.05  # how long one call goes on killing what is born meanwhile
_LOOK_S: Final = 0.002


@dataclass(frozen=True, slots=True)
class Traces:
    """What the processes of one replica are known by; `started` is its started.json, if any."""

    replica_id: ReplicaId
    folder: Path
    started: JsonView | None = None


def is_alive(started: JsonView, key: str) -> bool:
    """Whether the process named in started.json is there and is the same one, not its pid again."""
    pid = started.get(key)
    if pid is None or started.get("boot_id") != files.boot_id():
        return False
    ticks = files.start_ticks(int(pid))
    return ticks is not None and ticks == started.get(key.replace("pid", "start_ticks"))


def supervisor_of(traces: Traces) -> int | None:
    """The pid of the replica's supervisor, found without its files where they do not tell."""
    started = traces.started
    if started is not None and is_alive(started, "supervisor_pid"):
        return int(started["supervisor_pid"])
    return next((pid for it, pid in supervisors(traces.folder.parent) if it == traces.folder), None)


def init_of(traces: Traces) -> int | None:
    """The pid of the init of the replica's PID namespace, where it has one."""
    started = traces.started
    return int(started["init_pid"]) if started and is_alive(started, "init_pid") else None


def supervisors(root: Path) -> list[tuple[Path, int]]:
    """(folder, pid) of every supervisor of the replicas below `root`, by their command lines."""
    prefix = os.fsencode(root) + b"/"
    found = {}
    for pid in _pids():
        words = _words(pid, "cmdline")
        at = next((at for at, it in enumerate(words) if it.endswith(b"/" + _SCRIPT)), None)
        if at is not None and len(words) > at + 1 and words[at + 1].startswith(prefix):
            found[pid] = Path(os.fsdecode(words[at + 1]))
    # A child that has not yet become the replica, and the init of one, look like their parent.
    return [(folder, pid) for pid, folder in found.items() if processes.parent(pid) not in found]


def end(traces: Traces, adopted: bool = False) -> bool:
    """SIGKILL to all of the replica but its supervisor; True once nothing of it is seen.

    `adopted`: whether orphans of dead supervisors are this process's children by now.
    """
    supervisor = supervisor_of(traces)
    until = time.monotonic() + _END_S
    while pids := _seen(traces, supervisor, adopted):
        processes.signal_all(pids, signal.SIGKILL)
        if time.monotonic() > until:
            return False
        time.sleep(_LOOK_S)
    return True


def exists(traces: Traces) -> bool:
    """Whether any process of the replica is there, its supervisor included."""
    supervisor = supervisor_of(traces)
    return supervisor is not None or bool(_seen(traces, None, adopted=False))


def reap(but: frozenset[int]) -> None:
    """Collects ended processes that became this one's children; `but` are waited for elsewhere."""
    for pid in set(_foreign_children()) - but:
        if files.start_ticks(pid) is None:
            try:
                os.waitpid(pid, os.WNOHANG)
            except ChildProcessError:
                continue


def explain(started: JsonView | None, complaint: str) -> str:
    """One sentence on why nobody wrote down how the replica ended."""
    if started is None:
        words = "its supervisor ended before it could tell that the replica had started"
    elif started.get("boot_id") != files.boot_id():
        words = "the node was restarted"
    else:
        words = "its supervisor was killed; what the replica left behind was ended"
    return f"{words}: {complaint}" if complaint else words


def _seen(traces: Traces, supervisor: int | None, adopted: bool) -> list[int]:
    pids = set(_marked(traces))
    roots = [pid for pid in (supervisor, init_of(traces)) if pid is not None]
    if supervisor is None and adopted:
        roots += [pid for pid in _foreign_children() if not _is_supervisor(pid)]
    for root in roots:
        pids.update((root, *processes.descendants(root)))
    return [pid for pid in pids - {supervisor} if files.start_ticks(pid) is not None]


def _marked(traces: Traces) -> Iterator[int]:
    """Pids of the session that the replica founded, with its folder in their start, or its output.

    Only a replica's own processes have its folder in their environment: it is new with every one.
    """
    started = traces.started or {}
    if started and started.get("boot_id") != files.boot_id():
        return
    session = _session_of(started)
    output = f"pipe:[{started['output']}]" if started.get("output") else None
    mark = b"PENSTOCK_WORK=" + os.fsencode(traces.folder / WORK)
    for pid in _pids():
        if (
            (session is not None and _session(pid) == session)
            or mark in _words(pid, "environ")
            or (output is not None and output in _open_files(pid))
        ):
            yield pid


def _session_of(started: JsonView) -> int | None:
    """The replica's session, unless its pid has become another process's since."""
    if "pid" not in started:
        return None
    ticks = files.start_ticks(int(started["pid"]))
    if ticks is not None and ticks != started.get("start_ticks"):
        return None
    return int(started["pid"])


def _foreign_children() -> list[int]:
    """Children that this process did not start itself: they are in sessions of their own."""
    own = os.getsid(0)
    return [pid for pid in processes.children(os.getpid()) if _session(pid) not in (own, None)]


def _is_supervisor(pid: int) -> bool:
    return any(word.endswith(_SCRIPT) for word in _words(pid, "cmdline"))


def _pids() -> Iterator[int]:
    proc = Path("/proc")
    if proc.is_dir():
        own = os.getpid()
        yield from (int(it) for it in os.listdir(proc) if it.isdigit() and int(it) != own)


def _session(pid: int) -> int | None:
    try:
        return os.getsid(pid)
    except (ProcessLookupError, PermissionError):
        return None


def _words(pid: int, name: str) -> list[bytes]:
    """The zero-ended strings of a file of the process; none where it may not be read."""
    try:
        return Path(f"/proc/{pid}/{name}").read_bytes().split(b"\0")
    except OSError:
        return []


def _open_files(pid: int) -> set[str]:
    folder = f"/proc/{pid}/fd"
    found = set()
    try:
        for name in os.listdir(folder):
            found.add(os.readlink(f"{folder}/{name}"))
    except OSError:
        pass  # it has gone, or is not ours to look into
    return found
