"""Real processes of one cloud: starting them, finding what is theirs, ending what is left.

Whatever belongs to a cloud has the cloud's folder in its command line or in its environment.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import psutil

CGROUPS = Path("/sys/fs/cgroup")
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Daemon:
    """A started process and where its output goes."""

    child: subprocess.Popen[bytes]
    log: Path

    @property
    def is_alive(self) -> bool:
        return self.child.poll() is None

    def kill(self) -> None:
        """kill -9 of its whole group, a server's parent with it: no word to anybody."""
        if self.is_alive:
            os.killpg(self.child.pid, signal.SIGKILL)
        self.child.wait(10)

    def end(self, grace_s: float = 20.0) -> None:
        """SIGTERM, and time to end by itself. Raises subprocess.TimeoutExpired."""
        self.child.terminate()
        self.child.wait(grace_s)

    def tail(self, num_lines: int = 40) -> str:
        lines = self.log.read_text(encoding="utf-8", errors="replace").splitlines()
        return "\n".join(lines[-num_lines:])


def start(command: Sequence[str], log: Path, env: Mapping[str, str], cwd: Path) -> Daemon:
    """Output is appended to `log`; the process is a session of its own, like a service."""
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as output:
        child = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            env=dict(env),
            cwd=cwd,
            start_new_session=True,
        )
    return Daemon(child, log)


def of_folder(folder: Path) -> list[psutil.Process]:
    """Living processes that name the folder in their command line or environment."""
    mark = str(folder)
    return _living(lambda it: any(mark in word for word in (*it.cmdline(), *it.environ().values())))


def still_there(folder: Path, within_s: float) -> list[psutil.Process]:
    """Processes of the folder that did not end by themselves in that time."""
    until = time.monotonic() + within_s
    while (left := of_folder(folder)) and time.monotonic() < until:
        time.sleep(0.05)
    return left


def of_replica(replica_id: str) -> list[psutil.Process]:
    """The replica's own processes, the first one first, without its supervisor."""
    found = _living(lambda it: it.environ().get("PENSTOCK_REPLICA_ID") == replica_id)
    return sorted(found, key=psutil.Process.create_time)


def supervisors(folder: Path) -> list[psutil.Process]:
    """Supervisors of replicas whose state lies below the folder."""
    below = of_folder(folder)
    return [it for it in _living(lambda it: "supervisor" in " ".join(it.cmdline())) if it in below]


def cgroups_of(agent_ids: Sequence[str]) -> list[Path]:
    """Folders that these agents made in any hierarchy."""
    tops = (CGROUPS, *CGROUPS.glob("*")) if CGROUPS.is_dir() else ()
    return [
        top / "penstock" / it
        for top in tops
        for it in agent_ids
        if (top / "penstock" / it).is_dir()
    ]


def remove_cgroups(agent_ids: Sequence[str]) -> None:
    """What killed agents and supervisors could not remove themselves."""
    for top in cgroups_of(agent_ids):
        for group in (*top.glob("*/"), top):
            with suppress(OSError):
                group.rmdir()


def title(process: psutil.Process) -> str:
    try:
        return f"{process.pid}: {' '.join(process.cmdline())}"
    except psutil.NoSuchProcess:
        return f"{process.pid}: has ended by now"


def end_by_force(processes: Sequence[psutil.Process]) -> None:
    """SIGKILL to what should have gone by itself."""
    for process in processes:
        try:
            process.send_signal(signal.SIGKILL)
        except psutil.NoSuchProcess:
            continue
    psutil.wait_procs(processes, timeout=5)


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def eventually(
    look: Callable[[], T | None], what: str, within_s: float = 30.0, every_s: float = 0.05
) -> T:
    """The first true answer of `look`. Raises AssertionError that says what did not come."""
    until = time.monotonic() + within_s
    while not (seen := look()):
        assert time.monotonic() < until, f"after {within_s:g} s: {what}; last seen: {seen!r}"
        time.sleep(every_s)
    return seen


def _living(wanted: Callable[[psutil.Process], bool]) -> list[psutil.Process]:
    """Processes that are wanted; one that ends while it is looked at is none."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.pid != os.getpid() and wanted(process):
                found += [process] if process.status() != psutil.STATUS_ZOMBIE else []
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue
    return found
