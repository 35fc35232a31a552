"""Whether a disk takes writes: what an error says of it, and what the disk says of itself."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Final

LEAST_BYTES: Final = 64 << 10
_WHY: Final = {
    errno.ENOSPC: "is full",
    errno.EDQUOT: "is full: its quota is used up",
    errno.EROFS: "is read-only",
}


def disk_trouble(error: BaseException) -> str | None:
    """What an error says of the disk, as words behind its folder; None where it says nothing."""
    return _WHY.get(error.errno or 0) if isinstance(error, OSError) else None


def obstacle(folder: Path) -> str | None:
    """Why the folder's disk takes no writes now; None where nothing is known against it."""
    nearest = next((it for it in (folder, *folder.parents) if it.exists()), folder)
    try:
        room = os.statvfs(nearest)
    except OSError:
        return None
    free = room.f_bfree if os.geteuid() == 0 else room.f_bavail
    if room.f_flag & os.ST_RDONLY:
        return _WHY[errno.EROFS]
    if free * room.f_frsize < LEAST_BYTES:
        return _WHY[errno.ENOSPC]
    if room.f_files and not room.f_favail:
        return "has no room for another file (inodes)"
    return None
