"""Background processes by identity: a pid alone may belong to somebody else by now."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

POLL_S: Final = 0.02


@dataclass(frozen=True, slots=True)
class Process:
    """A process by pid and the moment it began, as the system writes that moment."""

    pid: int
    began: str

    def is_alive(self) -> bool:
        return began(self.pid) == self.began

    def resident_bytes(self) -> int | None:
        """Resident memory of all processes in the group that it leads (a server has a parent);
        None where the system does not say.
        """
        found = (_stat(int(entry.name)) for entry in Path("/proc").glob("[0-9]*"))
        pages = sum(int(fields[21]) for fields in found if fields and int(fields[2]) == self.pid)
        return pages * os.sysconf("SC_PAGE_SIZE") or None


def start(
    command: Sequence[str], log: Path, environment: Mapping[str, str], *, detached: bool
) -> Process:
    """Starts a process whose output goes to `log`; detached, it outlives this terminal."""
    log.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    with open(os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), "ab") as output:
        child = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            env=dict(environment),
            start_new_session=detached,
        )
    return Process(child.pid, began(child.pid) or "")


def stop(process: Process, grace_s: float) -> bool:
    """SIGTERM, and SIGKILL once the grace is over. True if it went by itself; safe to repeat."""
    if signal_one(process, signal.SIGTERM) and not wait(lambda: not process.is_alive(), grace_s):
        signal_one(process, signal.SIGKILL)
        wait(lambda: not process.is_alive(), grace_s)
        return False
    return True


def wait(condition: Callable[[], bool], timeout_s: float) -> bool:
    """Whether the condition came true in time."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() >= deadline:
            return False
        time.sleep(POLL_S)
    return True


def began(pid: int) -> str | None:
    """When the process began; None where there is none, or it is only waiting to be reaped."""
    fields = _stat(pid)
    if fields is None:
        return None if Path("/proc/self/stat").exists() else _began_by_ps(pid)
    return None if fields[0] in (b"Z", b"X") else fields[19].decode()


def naming(text: str) -> Iterator[Process]:
    """Processes of ours that have this text in their command line; none without /proc."""
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            if entry.stat().st_uid != os.getuid():
                continue
            words = (entry / "cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        pid = int(entry.name)
        start_text = began(pid)
        if start_text and pid != os.getpid() and any(os.fsencode(text) in word for word in words):
            yield Process(pid, start_text)


def signal_one(process: Process, number: signal.Signals) -> bool:
    """Signals it if it is still the same process."""
    if not process.is_alive():
        return False
    try:
        os.kill(process.pid, number)
    except ProcessLookupError:
        return False
    return True


def _stat(pid: int) -> list[bytes] | None:
    """What /proc says of it, from its state on; None where there is none."""
    try:
        return Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None


def _began_by_ps(pid: int) -> str | None:
    done = subprocess.run(
        ["ps", "-o", "stat=,lstart=", "-p", str(pid)], capture_output=True, text=True, check=False
    )
    state, _, moment = done.stdout.strip().partition(" ")
    return moment.strip() if moment and not state.startswith("Z") else None
