"""The few Linux calls that Python does not offer. Elsewhere they do nothing and say so."""

from __future__ import annotations

import ctypes
import errno
import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Final

_PR_SET_PDEATHSIG: Final = 1
_PR_SET_CHILD_SUBREAPER: Final = 36
_PR_SET_NO_NEW_PRIVS: Final = 38
_CLONE_NEWNS: Final = 0x00020000
_CLONE_NEWPID: Final = 0x20000000
_MS_REC_SLAVE: Final = 0x4000 | 0x80000  # mounts of the host still arrive, none goes back
_MS_NOSUID_NODEV_NOEXEC: Final = 2 | 4 | 8
_KEEP_SIZE_AND_PUNCH_HOLE: Final = 0x01 | 0x02
_libc: Final = ctypes.CDLL(None, use_errno=True)


def die_with_parent(number: int) -> bool:
    """This process gets the signal when the thread that made it ends. False: not on this system."""
    return _prctl(_PR_SET_PDEATHSIG, number)


def adopt_orphans() -> bool:
    """Makes this process the parent of every descendant whose own parent has gone."""
    return _prctl(_PR_SET_CHILD_SUBREAPER, 1)


def new_pid_namespace() -> None:
    """The next child of this process is the init of a new one. Raises OSError."""
    _checked("unshare", _CLONE_NEWPID)


def mount_own_proc() -> None:
    """In a new mount namespace, /proc shows this PID namespace alone. Raises OSError."""
    _checked("unshare", _CLONE_NEWNS)
    _checked("mount", None, b"/", None, _MS_REC_SLAVE, None)
    _checked("mount", b"proc", b"/proc", b"proc", _MS_NOSUID_NODEV_NOEXEC, None)


def become_user(user: int, groups: Sequence[int]) -> None:
    """This process of root, and whatever it starts, is that user's from now on, and cannot become
    anybody else, by no program that could. Raises OSError.
    """
    os.setgroups(groups)
    os.setresgid(user, user, user)
    os.setresuid(user, user, user)
    _prctl(_PR_SET_NO_NEW_PRIVS, 1)


def free_blocks(descriptor: int, start: int, length: int) -> bool:
    """Gives a part of a file back to the disk; its size stays. False where that cannot be done."""
    fallocate = getattr(_libc, "fallocate64", None)  # not in every C library
    if fallocate is None:
        return False
    offsets = ctypes.c_int64(start), ctypes.c_int64(length)
    return bool(fallocate(descriptor, _KEEP_SIZE_AND_PUNCH_HOLE, *offsets) == 0)


def _checked(name: str, *values: bytes | int | None) -> None:
    call = getattr(_libc, name, None) if sys.platform == "linux" else None
    if call is None:
        raise OSError(errno.ENOSYS, name)
    if call(*values) != 0:
        raise OSError(ctypes.get_errno(), name)


def _prctl(option: int, value: int) -> bool:
    """Raises OSError where a Linux kernel refuses."""
    if sys.platform != "linux":
        return False
    if _libc.prctl(option, value, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl")
    return True
