"""What is done for a replica whose supervisor was itself killed: find its processes, end them."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from agents.runtimes.supervisor import files, processes


def is_alive(started: Mapping[str, Any], key: str) -> bool:
    """Whether the process named in started.json is there and is the same one, not its pid again."""
    if started.get("boot_id") != files.boot_id():
        return False
    ticks = files.start_ticks(int(started[key]))
    return ticks is not None and ticks == started.get(key.replace("pid", "start_ticks"))


def kill_strays(replica_id: str, started: Mapping[str, Any] | None) -> None:
    """SIGKILL to what the replica left behind, known by its session or by its environment."""
    if started is not None and started.get("boot_id") != files.boot_id():
        return
    session = None if started is None else _session_of(started)
    if session is not None:
        processes.kill_group_of(session, signal.SIGKILL)
    processes.signal_all(strays(replica_id, session), signal.SIGKILL)


def strays(replica_id: str, session: int | None) -> list[int]:
    """Pids of the session that the replica founded, and of processes with its id in their start.

    Only a replica's own processes can have its id in their environment: it is new with every one.
    """
    mark = f"PENSTOCK_REPLICA_ID={replica_id}".encode()
    return [
        pid
        for pid in _pids()
        if (session is not None and _session(pid) == session) or mark in _environment(pid)
    ]


def epitaph(started: Mapping[str, Any] | None, complaint: str) -> str:
    """One sentence on why nobody wrote down how the replica ended."""
    if started is None:
        words = "its supervisor ended before it could tell that the replica had started"
    elif started.get("boot_id") != files.boot_id():
        words = "the node was restarted"
    else:
        words = "its supervisor was killed; what the replica left behind was ended"
    return f"{words}: {complaint}" if complaint else words


def _session_of(started: Mapping[str, Any]) -> int | None:
    """The replica's session, unless its pid has become another process's since."""
    ticks = files.start_ticks(int(started["pid"]))
    if ticks is not None and ticks != started.get("start_ticks"):
        return None
    return int(started["pid"])


def _pids() -> Iterator[int]:
    proc = Path("/proc")
    if proc.is_dir():
        own = os.getpid()
        yield from (
            int(it.name) for it in proc.iterdir() if it.name.isdigit() and int(it.name) != own
        )


def _session(pid: int) -> int | None:
    try:
        return os.getsid(pid)
    except (ProcessLookupError, PermissionError):
        return None


def _environment(pid: int) -> frozenset[bytes]:
    try:
        return frozenset(Path(f"/proc/{pid}/environ").read_bytes().split(b"\0"))
    except OSError:
        return frozenset()
