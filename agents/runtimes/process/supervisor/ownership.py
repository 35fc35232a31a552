"""Gives folders to the user of a project, and lets such users pass through the agent's own.

For root, and before a replica's process gives that up. Which folders they are stands elsewhere.
"""

from __future__ import annotations

import errno
import os
import shutil
import stat
import sys

from agents.runtimes.process.supervisor import kernel

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection
    from typing import Final

PASSED_THROUGH: Final = 0o710
"""Of folders that the group may enter and not list."""
NOT_NOW: Final = 3
"""Exit code of `try_storage` where the disk takes nothing at present."""
_DISK: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO, errno.ESTALE})
_LOOK: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


def pass_through(folder: str, group: int) -> None:
    """Members of the group may enter the folder by a name they know. Raises OSError."""
    os.chown(folder, -1, group)
    os.chmod(folder, PASSED_THROUGH)


def hand_over(makes: Collection[str], takes: Collection[str], user: int) -> None:
    """Makes folders of the first kind, for this user alone, and gives it what is still ours of
    both kinds. What a disk does not take now is left to whoever needs it. Raises OSError.
    """
    for folder in makes:
        try:
            os.makedirs(os.path.dirname(folder), 0o711, exist_ok=True)
            os.mkdir(folder, 0o700)
        except FileExistsError:
            pass
        except OSError as error:
            if error.errno not in _DISK:
                raise
    for folder in (*makes, *takes):
        try:
            _take(folder, user)
        except OSError as error:
            if error.errno not in _DISK and not isinstance(error, FileNotFoundError):
                raise


def obstacle(path: str, user: int, groups: Collection[int]) -> str:
    """The first folder on the way, its end included, that the user may not pass; empty: none."""
    for way in (os.path.abspath(path), os.path.realpath(path)):
        parts = way.split(os.sep)
        for end in range(1, len(parts) + 1):
            place = os.sep.join(parts[:end]) or os.sep
            try:
                seen = os.stat(place)
            except OSError as error:
                return f"{place}: {_words(error)}"
            shift = 6 if seen.st_uid == user else 3 if seen.st_gid in groups else 0
            if not seen.st_mode >> shift & 1 and (stat.S_ISDIR(seen.st_mode) or end < len(parts)):
                return f"other users may not pass {place} (mode {stat.S_IMODE(seen.st_mode):04o})"
    return ""


def try_storage(jobs: str, user: int, group: int) -> int:
    """Prepares the folder that jobs' folders lie in, and tries one of this user there. Prints why
    it cannot be had; 0: it can.
    """
    try:
        _open_jobs(jobs, group)
        tried = os.path.join(jobs, f".try-{os.getpid()}")
        os.mkdir(tried, 0o700)
        try:
            os.chown(tried, user, user)
            denied = _denied(tried, user, group)
        finally:
            shutil.rmtree(tried, ignore_errors=True)
    except OSError as error:
        sys.stdout.write(f"{error.filename or jobs}: {_words(error)}")
        return NOT_NOW if error.errno in _DISK else 1
    if denied:
        sys.stdout.write(obstacle(jobs, user, (user, group)) or f"{jobs}: {os.strerror(denied)}")
    return int(denied > 0)


def _open_jobs(jobs: str, group: int) -> None:
    """What is there already was made when all jobs had one user: it is closed before the way to
    it opens, and given away when its job, or one that starts from it, is started.
    """
    os.makedirs(jobs, 0o711, exist_ok=True)
    seen = os.stat(jobs)
    if seen.st_gid != group or stat.S_IMODE(seen.st_mode) != PASSED_THROUGH:
        with os.scandir(jobs) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    os.chmod(entry.path, 0o700)
        pass_through(jobs, group)
    above = os.path.dirname(jobs)
    if not os.stat(above).st_mode & 0o077:  # the control plane keeps it to itself
        pass_through(above, group)


def _denied(folder: str, user: int, group: int) -> int:
    """The error with which the user is refused to write there; 0: it is not."""
    child = os.fork()
    if child == 0:
        code = errno.EPERM
        try:
            kernel.become_user(user, [group])
            with open(os.path.join(folder, "file"), "xb") as file:
                file.write(b"tried")
            code = 0
        except OSError as error:
            code = error.errno or code
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def _take(folder: str, user: int) -> None:
    """A tree that is ours, its top last: what has been begun is finished by the next try."""
    top = os.open(folder, _LOOK | os.O_DIRECTORY)
    try:
        if os.fstat(top).st_uid == os.geteuid():
            _give(top, user)
            os.fchmod(top, 0o700)
    finally:
        os.close(top)


def _give(folder: int, user: int) -> None:
    """Nothing that has a second name, which may lie elsewhere, and no link is followed."""
    for name in os.listdir(folder):
        try:
            found = os.open(name, _LOOK, dir_fd=folder)
        except OSError:
            continue
        try:
            seen = os.fstat(found)
            if seen.st_uid != os.geteuid():
                continue
            if stat.S_ISDIR(seen.st_mode):
                _give(found, user)
            elif stat.S_ISREG(seen.st_mode) and seen.st_nlink == 1:
                os.fchown(found, user, user)
        finally:
            os.close(found)
    os.fchown(folder, user, user)


def _words(error: OSError) -> str:
    return (error.strerror or str(error)).lower()
