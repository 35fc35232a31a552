"""The first process of a replica's PID namespace: starts the replica and collects the dead.

What happens in the namespace ends with it, and no signal from inside reaches it. It decides
nothing: the supervisor does, and is told how the replica's own process ended.
"""

from __future__ import annotations

import os
import select
import signal

from agents.runtimes.process.supervisor import kernel

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable


def become_init(status_fd: int, failed_fd: int, replica: Callable[[], None]) -> None:
    """In the new process: never returns. `replica` is called in the replica's own process."""
    job = 0
    try:
        os.setsid()
        kernel.die_with_parent(signal.SIGKILL)
        if _has_no_reader(status_fd):  # the supervisor went before the line above took effect
            os._exit(1)
        kernel.mount_own_proc()
        job = os.fork()
        if job == 0:
            os.close(status_fd)
            replica()
    except OSError as error:
        os.write(failed_fd, f"limits {error.errno or 0}".encode())
        os._exit(1)
    _close_all_but(status_fd)
    _collect(job, status_fd)


def _collect(job: int, status_fd: int) -> None:
    """Until nobody is left. The wait status of the replica's process is written as a number."""
    while True:
        try:
            pid, status = os.wait()
        except ChildProcessError:
            os._exit(0)
        if pid == job:
            os.write(status_fd, b"%d" % status)


def _has_no_reader(descriptor: int) -> bool:
    poll = select.poll()
    poll.register(descriptor, 0)
    return any(event & select.POLLERR for _, event in poll.poll(0))


def _close_all_but(kept: int) -> None:
    """The replica's output above all: it has ended when its own processes have."""
    os.closerange(0, kept)
    os.closerange(kept + 1, 256)
