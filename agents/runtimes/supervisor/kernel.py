"""The few Linux calls that Python does not offer. Elsewhere they do nothing and say so."""

from __future__ import annotations

import ctypes
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

_PR_SET_PDEATHSIG: Final = 1
_PR_SET_CHILD_SUBREAPER: Final = 36
_KEEP_SIZE_AND_PUNCH_HOLE: Final = 0x01 | 0x02
_libc: Final = ctypes.CDLL(None, use_errno=True)


def die_with_parent(number: int) -> bool:
    """This process gets the signal when the thread that made it ends. False: not on this system."""
    return _prctl(_PR_SET_PDEATHSIG, number)


def adopt_orphans() -> bool:
    """Makes this process the parent of every descendant whose own parent has gone."""
    return _prctl(_PR_SET_CHILD_SUBREAPER, 1)


def free_blocks(descriptor: int, start: int, length: int) -> bool:
    """Gives a part of a file back to the disk; its size stays. False where that cannot be done."""
    fallocate = getattr(_libc, "fallocate64", None)  # not in every C library
    if fallocate is None:
        return False
    offsets = ctypes.c_int64(start), ctypes.c_int64(length)
    return bool(fallocate(descriptor, _KEEP_SIZE_AND_PUNCH_HOLE, *offsets) == 0)


def _prctl(option: int, value: int) -> bool:
    """Raises OSError where a Linux kernel refuses."""
    if sys.platform != "linux":
        return False
    if _libc.prctl(option, value, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl")
    return True
