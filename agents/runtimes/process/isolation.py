"""Finds out how far this machine lets replicas be kept apart from agent and supervisors."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from agents.runtimes.process.users import NO_USERS, Users

_TRY: Final = """
import os, sys
sys.path.append(sys.argv[1])
from agents.runtimes.process.supervisor import kernel
try:
    kernel.new_pid_namespace()
    pid = os.fork()
    if pid == 0:
        kernel.mount_own_proc()
        os._exit(0)
except OSError as error:
    sys.stderr.write(f"{error.filename or error.args[1]}: {os.strerror(error.errno)}".lower())
    os._exit(1)
os._exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
"""
_TRY_S: Final = 20.0


@dataclass(frozen=True, slots=True)
class Isolation:
    """`lacks_namespace` says why a replica has no PID namespace of its own; empty: it has one.
    Whom it runs as is the other half.
    """

    lacks_namespace: str
    users: Users = NO_USERS

    @property
    def pid_namespace(self) -> bool:
        return not self.lacks_namespace

    def describe(self) -> dict[str, str]:
        """In words for people, as the limits are."""
        words = "PID namespace and session of its own"
        if not self.pid_namespace:
            words = f"session of its own, no PID namespace: {self.lacks_namespace}"
        return {"processes": words, **self.users.describe()}


NOT_ISOLATED: Final = Isolation("not asked for")


def detect(wanted: bool = True) -> Isolation:
    """What this machine permits this process, found by trying with a process of its own."""
    if not wanted:
        return Isolation("switched off by the agent's settings")
    if sys.platform != "linux":
        return Isolation("this system has none")
    library = str(Path(__file__).parents[3])
    command = [sys.executable, "-I", "-S", "-E", "-c", _TRY, library]
    try:
        tried = subprocess.run(command, capture_output=True, text=True, timeout=_TRY_S, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        return Isolation(str(error))
    if tried.returncode == 0:
        return Isolation("")
    words = tried.stderr.strip().rpartition("\n")[2]
    return Isolation(f"{words or 'it could not be made'} (it needs CAP_SYS_ADMIN)")
