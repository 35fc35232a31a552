"""Starts the replica's process: its own session, its limits, its output, death with its parent."""

from __future__ import annotations

import errno
import os
import resource
import signal

from agents.runtimes.process.supervisor import kernel, ownership, processes
from agents.runtimes.process.supervisor.init import become_init
from agents.runtimes.process.supervisor.spec import Limits, Spec, User

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

_OOM_SCORE: Final = "500"
_USUAL_UMASK: Final = 0o022
"""Of jobs, whose files are theirs to share; the agent's own is stricter."""
NOT_FOUND_CODE: Final = 127
NOT_RUN_CODE: Final = 126


class StartFailed(Exception):
    """The command could not be run; `code` is what a shell would have answered."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code


class Started:
    """A replica's first process, and the init of its PID namespace where it has one.

    `status_fd` then reads the wait status of the first process, which only its init is told.
    """

    __slots__ = ("init_pid", "pid", "status_fd")

    def __init__(self, pid: int, init_pid: int | None = None, status_fd: int | None = None) -> None:
        self.pid = pid
        self.init_pid = init_pid
        self.status_fd = status_fd


def start(spec: Spec, output_fd: int) -> Started:
    """The replica's process leads a session and a group of its own.

    Raises StartFailed when a step before the command's first instruction went wrong.
    """
    failed_r, failed_w = os.pipe()
    status_r, status_w = os.pipe()
    os.set_blocking(status_r, False)
    child = _fork(spec, output_fd, failed_w, status_w)
    os.close(failed_w)
    os.close(status_w)
    with open(failed_r, "rb") as pipe:
        failure = pipe.read().decode()
    if failure:
        os.waitpid(child, 0)
        raise _explained(spec, failure)
    if not spec.pid_namespace:
        os.close(status_r)
        return Started(child)
    born = processes.children(child)  # none when it has ended already
    return Started(born[0] if born else child, child, status_r)


def _fork(spec: Spec, output_fd: int, failed_fd: int, status_fd: int) -> int:
    supervisor = os.getpid()
    if spec.pid_namespace:
        try:
            kernel.new_pid_namespace()
        except OSError as error:
            raise _explained(spec, f"limits {error.errno or 0}") from error
    pid = os.fork()
    if pid == 0 and spec.pid_namespace:
        become_init(status_fd, failed_fd, lambda: _become(spec, output_fd, failed_fd, None))
    elif pid == 0:
        _become(spec, output_fd, failed_fd, supervisor)
    return pid


def _become(spec: Spec, output_fd: int, failed_fd: int, supervisor: int | None) -> None:
    """In the new process: never returns. With `supervisor` it does not outlive that."""
    step = "limits"
    try:
        os.setsid()
        _enter_limits(spec.limits)
        os.umask(_USUAL_UMASK)
        if spec.user is not None:
            step = "user"
            os.get_exec_path(spec.env)  # execvpe needs a module that this user may not read
            _become_user(spec.user, output_fd)
        if supervisor is not None:  # only now: a change of user takes it back
            _die_with(supervisor)
        step = "workdir"
        os.chdir(spec.cwd)
        step = "command"
        _connect(output_fd)
        _reset_signals()
        os.execvpe(spec.argv[0], spec.argv, spec.env)
    except OSError as error:
        os.write(failed_fd, f"{step} {error.errno or 0} {error.filename or ''}".encode())
    except ValueError:  # a NUL byte in an argument or variable
        os.write(failed_fd, f"{step} {errno.EINVAL}".encode())
    finally:
        os._exit(NOT_FOUND_CODE)


def _become_user(user: User, output_fd: int) -> None:
    ownership.hand_over(user.makes, user.takes, user.uid)
    os.fchown(output_fd, user.uid, user.uid)  # so that it can open /dev/stdout
    kernel.become_user(user.uid, user.groups)


def _die_with(supervisor: int) -> None:
    kernel.die_with_parent(signal.SIGKILL)
    if os.getppid() != supervisor:  # it went before the line above took effect
        os._exit(NOT_RUN_CODE)


def _enter_limits(limits: Limits) -> None:
    _go_first_when_memory_ends()
    for group in limits.cgroups:
        with open(os.path.join(group, "cgroup.procs"), "w", encoding="ascii") as file:
            file.write("0")
    if limits.data_bytes is not None:
        hard = resource.getrlimit(resource.RLIMIT_DATA)[1]
        ceiling = limits.data_bytes if hard < 0 else min(hard, limits.data_bytes)
        resource.setrlimit(resource.RLIMIT_DATA, (ceiling, ceiling))


def _go_first_when_memory_ends() -> None:
    """A host that runs out of memory shall kill replicas before agents and supervisors."""
    try:
        with open("/proc/self/oom_score_adj", "w", encoding="ascii") as file:
            file.write(_OOM_SCORE)
    except OSError:
        return


def _connect(output_fd: int) -> None:
    nothing = os.open(os.devnull, os.O_RDONLY)
    for source, target in ((nothing, 0), (output_fd, 1), (output_fd, 2)):
        os.dup2(source, target)


def _reset_signals() -> None:
    for number in (signal.SIGPIPE, signal.SIGXFSZ, signal.SIGHUP, signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_DFL)


def _explained(spec: Spec, failure: str) -> StartFailed:
    step, number, *name = failure.split(" ", 2)
    why = os.strerror(int(number)).lower()
    if step == "workdir":
        if int(number) == errno.ENOENT:
            why += "; it has to be on the node that runs the job"
        return StartFailed(NOT_RUN_CODE, f"cannot enter the work folder {spec.cwd!r}: {why}")
    if step == "user":
        assert spec.user is not None
        what = f"cannot run as user {spec.user.uid}, which is its project's"
        return StartFailed(NOT_RUN_CODE, ": ".join((what, *filter(None, name), why)))
    if step == "limits":
        return StartFailed(NOT_RUN_CODE, f"cannot put the process under its limits: {why}")
    if int(number) == errno.ENOENT:
        return StartFailed(
            NOT_FOUND_CODE,
            f"cannot run {spec.argv[0]!r}: no such command on this node (or its interpreter is "
            f"missing)",
        )
    return StartFailed(NOT_RUN_CODE, f"cannot run {spec.argv[0]!r}: {why}")
