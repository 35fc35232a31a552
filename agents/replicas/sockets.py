"""Chooses where the workload socket lies: a path for a unix socket has little room."""

from __future__ import annotations

import hashlib
import os
import stat
import tempfile
from pathlib import Path
from typing import Final

from agents.runtimes.process.supervisor import ownership

WORKLOAD: Final = "workload.sock"
_MAX_PATH_BYTES: Final = 100  # the kernel takes 107; macOS 103


class UnsafeFolder(Exception):
    """The folder for sockets belongs to somebody else."""


def agent_id(state_dir: Path) -> str:
    """A short name for the agent of this state folder, the same after every restart."""
    return hashlib.sha256(str(state_dir.resolve()).encode()).hexdigest()[:12]


def workload_socket(state_dir: Path) -> Path:
    """In the state folder, or below the system's temporary folder where that is too deep."""
    path = state_dir.resolve() / WORKLOAD
    if len(os.fsencode(path)) <= _MAX_PATH_BYTES:
        return path
    folder = Path(tempfile.gettempdir()) / f"penstock-{os.getuid()}-{agent_id(state_dir)}"
    return folder / WORKLOAD


def admit(path: Path, group: int) -> None:
    """Lets replicas of projects' users speak to an agent of root; each proves itself by its token.
    The way there is the agent's folders', or, below the system's temporary folder, its own.
    """
    if os.geteuid() == 0:
        os.chown(path, -1, group)
        path.chmod(0o660)
        if path.parent.parent == Path(tempfile.gettempdir()):
            ownership.pass_through(str(path.parent), group)


def prepare(path: Path) -> None:
    """Makes the socket's folder for this user alone. Raises UnsafeFolder."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    seen = path.parent.lstat()
    if not stat.S_ISDIR(seen.st_mode) or seen.st_uid != os.getuid() or seen.st_mode & 0o022:
        raise UnsafeFolder(f"{path.parent} must be a folder that only this user can write to")
    path.unlink(missing_ok=True)
