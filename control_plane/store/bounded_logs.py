"""The log store for those who cannot wait: a call that hangs (a dead NFS server, a disk that does
not answer) goes on in a thread of its own, and whoever asked is told so in time.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from functools import partial
from typing import Final, TypeVar

from control_plane.deadlines import LOOP_TURN_S, STORAGE_S
from control_plane.errors import Unavailable
from control_plane.store.log_store import LogStore
from control_plane.threads import in_thread
from penstock.api.ids import ReplicaId

ResultT = TypeVar("ResultT")

MOST_HANGING: Final = 8
"""Where so many calls hang nobody waits any more, until one of them has ended: neither threads nor
the lanes of those who ask fill up."""


class BoundedLogs:
    """`control_plane.services.deps.LogBytes`; raises Unavailable `storage_hangs` as well."""

    def __init__(self, logs: LogStore, wait_s: float = STORAGE_S) -> None:
        self._logs = logs
        self._wait_s = wait_s
        self._lock = threading.Lock()
        self._late: dict[Future[object], str] = {}
        """Calls that nobody waits for any more, and the replica that they write to, if any."""

    def write(self, replica_id: ReplicaId, offset: int, data: bytes) -> None:
        """While a write to a log hangs there is no other: an object store writes whole chunks, and
        the late one would undo it.
        """
        work = partial(self._logs.write, replica_id, offset, data)
        self._within(self._wait_s, work, writes=replica_id)

    def read(self, replica_id: ReplicaId, offset: int, limit: int) -> bytes:
        return self._within(self._wait_s, partial(self._logs.read, replica_id, offset, limit))

    def next_kept(self, replica_id: ReplicaId, offset: int) -> int | None:
        return self._within(self._wait_s, partial(self._logs.next_kept, replica_id, offset))

    def delete(self, replica_id: ReplicaId) -> None:
        """Nobody waits for that, and a long log takes long."""
        self._within(LOOP_TURN_S, partial(self._logs.delete, replica_id))

    def probe(self) -> None:
        """Not bounded here: whoever probes has a thread for it."""
        self._logs.probe()

    def _within(self, seconds: float, work: Callable[[], ResultT], writes: str = "") -> ResultT:
        self._check(writes)
        try:
            call = in_thread("storage", work)
        except RuntimeError as error:
            raise _hangs() from error  # no thread is to be had now
        try:
            return call.result(seconds)
        except TimeoutError:
            if call.done():
                raise  # the storage's own
        with self._lock:
            self._late[call] = writes  # type: ignore[index]
        raise _hangs()

    def _check(self, writes: str) -> None:
        with self._lock:
            self._late = {call: to for call, to in self._late.items() if not call.done()}
            if len(self._late) >= MOST_HANGING or (writes and writes in self._late.values()):
                raise _hangs()


def _hangs() -> Unavailable:
    return Unavailable("storage_hangs")
