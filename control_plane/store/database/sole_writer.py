"""With SQLite one process writes: a lock beside the database file, held as long as it lives."""

from __future__ import annotations

import fcntl
import os
import time
from pathlib import Path

from sqlalchemy import make_url

from control_plane.deadlines import LOCK_S, Deadline

_POLL_S = 0.05


class InUse(Exception):
    """Another server works on this database."""


def hold_database(url: str) -> None:
    """Returns with the lock, which ends with this process and is not inherited. Raises InUse where
    another one does not end in time. On PostgreSQL there may be many.
    """
    path = make_url(url).database
    if not url.startswith("sqlite") or path in (None, "", ":memory:"):
        return
    descriptor = os.open(Path(f"{path}.lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    deadline = Deadline.after(LOCK_S)
    while not _is_ours(descriptor):
        if deadline.is_over:
            os.close(descriptor)
            raise InUse(f"another server works on {path}: with SQLite there is one; stop it first")
        time.sleep(_POLL_S)


def _is_ours(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
