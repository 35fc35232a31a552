"""The change feed of one process: read once for all who follow it, and kept for a while.

A follower is no more than its place: what it has not seen is taken from what is kept, or is read.
"""

from __future__ import annotations

import secrets
import threading
import time
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from control_plane.services.changes.views import change_views, count_views
from control_plane.services.deps import Caller, Deps
from control_plane.store.repositories.changes import Counts, Noted, Place
from control_plane.store.unit_of_work import Transaction
from penstock.api.changes import Changes
from penstock.api.changes import Counts as CountsView

_BEGIN: Final = Place(0, 0)
READ_S: Final = 0.1
"""It is read that often at most, whoever asks; whoever was woken asks that much later."""
MOST: Final = 10_000
"""Changes that are kept, and that one message tells; who missed more lists anew."""


@dataclass(slots=True)
class Follower:
    """Where one stream stands, and what it was told last. None: it begins."""

    caller: Caller
    place: Place | None = None
    identity: str = ""
    counts: CountsView | None = None

    @classmethod
    def resumed(cls, caller: Caller, cursor: str | None) -> Follower:
        """From the id of a message. One that says nothing to us begins anew."""
        identity, _, place = (cursor or "").rpartition(":")
        xid, _, number = place.partition("-")
        if not identity or not all(it.isascii() and it.isdigit() for it in (xid, number)):
            return cls(caller)
        return cls(caller, Place(int(xid[:18]), int(number[:18])), identity)

    @property
    def cursor(self) -> str:
        assert self.place is not None, "it was told something"
        return f"{self.identity}:{self.place.xid}-{self.place.id}"


@dataclass(slots=True)
class Feed:
    """One per process."""

    deps: Deps
    _run: str = field(default_factory=lambda: secrets.token_hex(6))
    """With SQLite, which one process serves, a restored file is found at a new start."""
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _identity: str = ""
    _kept: list[Noted] = field(default_factory=list)
    _start: Place = _BEGIN
    """Everything after it is kept."""
    _head: Place = _BEGIN
    _counts: Counts = field(default_factory=dict)
    _read_at: float = float("-inf")

    def news(self, follower: Follower) -> Changes | None:
        """What the follower has not seen and may see; it stands after that from then on."""
        with self._lock:
            if time.monotonic() - self._read_at >= READ_S:
                with self.deps.store.read() as tx:
                    self._read(tx)
                self._read_at = time.monotonic()
            missed = self._missed(follower)
            seen = self._head if missed is None else max(self._head, follower.place or self._head)
            follower.identity, follower.place = self._identity, seen
            counts = self._counts
        shown = count_views(follower.caller, counts)
        new_counts = None if shown == follower.counts else shown
        follower.counts = shown
        if missed is None:
            return Changes(reset=True, counts=shown)
        changes = change_views(follower.caller, missed)
        return Changes(changes=changes, counts=new_counts) if changes or new_counts else None

    def _read(self, tx: Transaction) -> None:
        identity = tx.changes.identity() or self._run
        fresh = tx.changes.after(self._head, MOST + 1)
        if identity != self._identity or len(fresh) > MOST:
            self._identity, self._kept = identity, []
            self._start = self._head = tx.changes.head()
            self._counts = tx.counts.all()
        elif fresh:
            self._kept = [*self._kept, *fresh]
            self._head = _place(fresh[-1])
            self._counts = tx.counts.all()
            if len(self._kept) > MOST:
                self._start = _place(self._kept[-MOST - 1])
                self._kept = self._kept[-MOST:]

    def _missed(self, follower: Follower) -> Sequence[Noted] | None:
        """None: too much to say, or of another database."""
        if follower.place is None or follower.identity != self._identity:
            return None
        if follower.place >= self._start:
            return self._kept[bisect_right(self._kept, follower.place, key=_place) :]
        with self.deps.store.read() as tx:
            found = tx.changes.after(follower.place, MOST + 1)
        return None if len(found) > MOST else [it for it in found if _place(it) <= self._head]


def _place(noted: Noted) -> Place:
    return Place(noted.xid, noted.id)
