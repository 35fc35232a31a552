"""A replica's files and the identities of processes: common to supervisor and agent."""

from __future__ import annotations

import fcntl
import json
import os
import time

from penstock.json_types import Json

TYPE_CHECKING = False  # typing itself would cost milliseconds at every start
if TYPE_CHECKING:
    from typing import Final

SPEC: Final = "spec.json"
STARTED: Final = "started.json"
EXIT: Final = "exit.json"
LOG: Final = "log"
LOCK: Final = "lock"
CONTROL: Final = "control"
ERRORS: Final = "supervisor.log"
DEADLINE: Final = "deadline"  # the newest that the agent passed on, for the agent's next start


def read_json(folder: str, name: str) -> Json | None:
    """The document, or None where there is none or it is not one."""
    try:
        with open(os.path.join(folder, name), encoding="utf-8") as file:
            document = json.load(file)
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return None
    return document if isinstance(document, dict) else None


def write_json(folder: str, name: str, document: Json, durable: bool = False) -> None:
    """Replaces the document whole: a reader sees the old one or the new one. Raises OSError."""
    temporary = os.path.join(folder, f".{name}.{os.getpid()}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        with open(descriptor, "w") as file:
            json.dump(document, file)
            if durable:
                file.flush()
                os.fsync(file.fileno())
        os.replace(temporary, os.path.join(folder, name))
    except OSError:
        os.unlink(temporary)  # on a full disk it would only take the room of the next try
        raise
    if durable:
        _sync_folder(folder)


def keep_deadline(folder: str, deadline_ns: int) -> None:
    """Overwrites a number of fixed length in place: a full disk takes it too. Raises OSError."""
    descriptor = os.open(os.path.join(folder, DEADLINE), os.O_WRONLY | os.O_CREAT, 0o600)
    try:
        os.pwrite(descriptor, b"%020d\n" % deadline_ns, 0)
    finally:
        os.close(descriptor)


def kept_deadline(folder: str) -> int | None:
    """None where there is none: the replica was started by an agent that kept none."""
    try:
        with open(os.path.join(folder, DEADLINE), "rb") as file:
            text = file.read().strip()
    except OSError:
        return None
    return int(text) if text.isdigit() else None


def take_lock(folder: str) -> int | None:
    """A descriptor that holds the replica's lock, or None while a supervisor holds it.

    The kernel frees the lock when the last copy of the descriptor is closed, however its holder
    ended: whoever gets it knows that no supervisor of this replica lives.
    """
    descriptor = os.open(os.path.join(folder, LOCK), os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    return descriptor


def send_line(fifo: str, line: str) -> bool:
    """Writes one line to a named pipe without waiting; False when nobody reads it or it is full."""
    try:
        descriptor = os.open(fifo, os.O_WRONLY | os.O_NONBLOCK)
    except OSError:
        return False
    try:
        os.write(descriptor, line.encode() + b"\n")
    except OSError:
        return False
    finally:
        os.close(descriptor)
    return True


def open_fifo(path: str) -> int:
    """A descriptor that reads lines from the named pipe, which is made if need be.

    It is opened for writing too, so that it never reads as ended while no writer is there.
    """
    if not os.path.exists(path):
        os.mkfifo(path, 0o600)
    return os.open(path, os.O_RDWR | os.O_NONBLOCK)


def start_ticks(pid: int) -> int | None:
    """When the process began, in clock ticks since boot: with the pid, its identity.

    None where there is no such process, it is only waiting to be reaped, or no /proc.
    """
    fields = _stat(pid)
    return None if not fields or fields[0] in (b"Z", b"X") else int(fields[19])


def is_halted(pid: int) -> bool:
    """Whether a signal stopped the process. One that a debugger holds does not count."""
    return _stat(pid)[:1] == [b"T"]


def boot_id() -> str:
    """Changes with every boot of the machine; empty where the system has none."""
    try:
        with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:
            return file.read().strip()
    except FileNotFoundError:
        return ""


def timestamp(unix_s: float) -> str:
    """RFC 3339 in UTC with milliseconds."""
    whole, rest = divmod(unix_s, 1)
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(whole)) + f".{int(rest * 1000):03d}Z"


def _stat(pid: int) -> list[bytes]:
    """The fields of /proc/PID/stat from the state on; empty where there is no such process."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            return file.read().rpartition(b")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return []


def _sync_folder(folder: str) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
