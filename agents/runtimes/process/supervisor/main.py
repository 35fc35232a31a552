"""The supervisor of one replica: starts it, keeps its lease deadline, writes down how it ended.

It needs neither the agent nor the control plane. Renewals, stops and shipped offsets reach it as
lines in a named pipe: `renew EPOCH DEADLINE_NS`, `stop EPOCH REASON GRACE_MS`, `shipped OFFSET`.
"""

from __future__ import annotations

import os
import sys
import time

from agents.boottime import boottime_ns
from agents.runtimes.process.supervisor import child, ending, files, kernel
from agents.runtimes.process.supervisor.spec import Spec
from agents.runtimes.process.supervisor.supervision import Supervision
from penstock.json_types import Json

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

_RETRY_S: Final = 1.0


class _Log:
    """Standard error, which the agent keeps in the replica's folder: its disk may be full."""

    def exception(self, event: str) -> None:
        """The error being handled, without a module that is slow to import."""
        try:
            sys.stderr.write(event + "\n")
            sys.excepthook(*sys.exc_info())
        except (OSError, ValueError):
            return  # the exit record says that it failed


log = _Log()


def main(folder: str, lock_fd: int | None) -> None:
    """Runs the replica of this folder to its end, unless it was started before."""
    lock = files.take_lock(folder) if lock_fd is None else lock_fd
    if lock is None or _was_started(folder):
        return
    os.set_inheritable(lock, False)
    document = files.read_json(folder, files.SPEC)
    if document is None:
        sys.exit(f"{folder} holds no readable {files.SPEC}")
    supervise(Spec(folder, document))


def supervise(spec: Spec) -> None:
    """From start to exit record. Whatever goes wrong, a record is written and nothing is left."""
    kernel.adopt_orphans()
    try:
        record = _run(spec)
    except BaseException:  # process loop: the replica must not outlive it
        log.exception("supervisor_failed")
        record = _unstarted("killed", None, "its supervisor failed")
    _put_down(spec, record)
    _remove_groups(spec)


def _run(spec: Spec) -> Json:
    if boottime_ns() >= spec.deadline_ns:
        return _unstarted("lease_expired", None, "the lease ended before the replica could start")
    read_fd, write_fd = os.pipe()
    os.set_blocking(read_fd, False)
    try:
        started = child.start(spec, write_fd)
    except child.StartFailed as error:
        return _unstarted("start_failed", error.code, str(error))
    finally:
        os.close(write_fd)
    care = Supervision(spec, started, read_fd)
    try:
        _announce(spec, started, os.fstat(read_fd).st_ino)
        return care.run()
    finally:
        care.kill()


def _announce(spec: Spec, started: child.Started, output: int) -> None:
    """`output` is the inode of the pipe that everything of the replica writes to."""
    document = {
        "pid": started.pid, "start_ticks": files.start_ticks(started.pid), "epoch": spec.epoch,
        "supervisor_pid": os.getpid(), "supervisor_start_ticks": files.start_ticks(os.getpid()),
        "boot_id": files.boot_id(), "started_at": _now(), "started_ns": boottime_ns(),
        "output": output,
    }  # fmt: skip
    if started.init_pid is not None:
        document["init_pid"] = started.init_pid
        document["init_start_ticks"] = files.start_ticks(started.init_pid)
    files.write_json(spec.folder, files.STARTED, document)
    files.send_line(spec.notify, f"started {spec.replica_id}")


def _put_down(spec: Spec, record: Json) -> None:
    """Tries until the disk takes it: an end that nobody hears of would hold the chips for long."""
    while True:
        try:
            files.write_json(spec.folder, files.EXIT, record, durable=True)
        except FileNotFoundError:
            return  # the folder was deleted: nobody asks any more
        except OSError:
            time.sleep(_RETRY_S)
        else:
            files.send_line(spec.notify, f"exited {spec.replica_id}")
            return


def _remove_groups(spec: Spec) -> None:
    """And the agent's own folders above them, when this was its last replica."""
    for group in spec.limits.cgroups:
        top = os.path.dirname(group)
        above = (top, os.path.dirname(top))
        try:
            os.rmdir(group)
            for folder in above if os.path.basename(above[1]) == "penstock" else ():
                os.rmdir(folder)
        except OSError:
            continue  # others are in it, or the agent removes it when it forgets the replica


def _was_started(folder: str) -> bool:
    """A replica is never run twice, whatever made two supervisors start for it."""
    names = (files.STARTED, files.EXIT)
    return any(os.path.exists(os.path.join(folder, name)) for name in names)


def _unstarted(reason: str, code: int | None, message: str) -> Json:
    return ending.unseen(reason, code, message, _now())


def _now() -> str:
    return files.timestamp(time.time())
