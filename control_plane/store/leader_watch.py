"""Whether somebody leads, by observation: the leader's row changes with every renewal, and one that
has not changed for a term, by the watcher's own monotonic clock, is nobody's. No clock is compared
with that of another machine, and no step of a wall clock makes or ends a leader.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class Seen:
    """The row as it was read. `mark` means nothing but that it differs after each renewal."""

    holder: str
    epoch: int
    mark: datetime


class LeaderWatch:
    """What one process has seen of the row, and when it saw it change. `now_s` is monotonic."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._looked = False
        self._seen: Seen | None = None
        self._since_s = 0.0
        self._has_moved = False

    def see(self, seen: Seen | None, now_s: float) -> None:
        """A look at the row. The first one finds a leader, or what a dead one left: who knows."""
        with self._lock:
            if self._looked and seen == self._seen:
                return
            self._has_moved = self._looked
            self._looked, self._seen, self._since_s = True, seen, now_s

    def is_free(self, now_s: float, term_s: float) -> bool:
        """Whether the lead may be taken: nobody had it, its holder left, or is silent."""
        with self._lock:
            seen, still_s = self._seen, now_s - self._since_s
        return seen is None or not seen.holder or still_s >= term_s

    def obstacle(self, now_s: float, term_s: float) -> str | None:
        """Why it cannot be said that somebody leads."""
        with self._lock:
            seen, still_s, has_moved = self._seen, now_s - self._since_s, self._has_moved
        if seen is None:
            return "no scheduler has led yet"
        if not seen.holder:
            return "the scheduler has stopped and no other one leads"
        if still_s >= term_s:
            return f"no scheduler leads since {still_s:.0f} s"
        return None if has_moved else "whether a scheduler leads is not known yet"
