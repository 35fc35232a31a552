"""Keeps what server and agent write for their own user alone, older files of theirs included."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Final

PRIVATE_UMASK: Final = 0o077
_OTHERS: Final = 0o077
_READ_OR_WRITE: Final = 0o066


def tighten(*paths: Path) -> None:
    """Takes every right of group and others away; what is not there, or not ours, stays as it is.

    A folder that others may only pass through (0711) was made so on purpose: it lists nothing.
    """
    for path in paths:
        with suppress(OSError):
            mode = path.lstat().st_mode
            passable = stat.S_ISDIR(mode) and not mode & _READ_OR_WRITE
            if mode & _OTHERS and not stat.S_ISLNK(mode) and not passable:
                path.chmod(stat.S_IMODE(mode) & ~_OTHERS)


def with_journal(database: Path) -> Iterable[Path]:
    """The files of an SQLite database: it may keep committed rows beside its own file."""
    return (database, *(database.with_name(database.name + end) for end in ("-wal", "-shm")))


def write_umask() -> None:
    """For the whole process: files are 0600 and folders 0700 unless their mode says otherwise."""
    os.umask(PRIVATE_UMASK)


def home_mode() -> int:
    """Of a new home. Root's may be passed through, since what runs there for others has users of
    its own, and lists nothing; all in it that is not theirs is closed to them.
    """
    return 0o711 if os.geteuid() == 0 else 0o700


def write_private(path: Path, text: str) -> None:
    """Writes a file that only its owner may read; readers see the old one or the new one, also
    when the disk is full or the power goes. Raises OSError, and leaves nothing half-written.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        with open(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError:
        with suppress(OSError):
            temporary.unlink()
        raise
