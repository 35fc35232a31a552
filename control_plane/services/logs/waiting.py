"""Judges how long the rest of an ended replica's log is waited for.

An agent tells a replica's end with the length of its whole output, and may ship the last of it
afterwards. Whoever reads until then sees a log that still grows; an agent that is dead sends
nothing more, and nobody waits for it without end.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from control_plane.services.logs.lines import Line
from control_plane.store.repositories.replicas import LogEnd
from penstock.api.ids import ReplicaId
from penstock.api.states import ReplicaState

# Since the replica's end, or since its log last grew: where its agent told the length (one that
# could not reach us tries again within 10 s), and where it did not.
PATIENCE_S: Final = 20.0
BLIND_PATIENCE_S: Final = 0.5
Reason = tuple[datetime, datetime | None]
"""What a wait counts from: the replica's end, and when its log was last seen to grow."""


@dataclass(slots=True)
class LogPatience:
    """One reader's. It remembers when it saw each log grow."""

    _seen: dict[str, tuple[int, datetime | None]] = field(default_factory=dict)
    _waits: dict[str, tuple[Reason, datetime]] = field(default_factory=dict)

    def is_over(self, log: LogEnd, job_ended_at: datetime | None, now: datetime) -> bool:
        """Whether no more bytes of this log are to be waited for.

        That of a live replica is over only long after its job's end, whatever its row says.
        """
        grew_at = self._look(log, now)
        if log.state == ReplicaState.LOST:
            return True
        since = log.since if log.state == ReplicaState.EXITED else job_ended_at
        if since is None:
            return False
        length = _length(log)
        if length is not None and log.end >= length:
            return True
        waited_s = (now - self._began(log.replica_id, since, grew_at, now)).total_seconds()
        blind = log.state == ReplicaState.EXITED and length is None
        return waited_s >= (BLIND_PATIENCE_S if blind else PATIENCE_S)

    def _began(
        self, replica_id: ReplicaId, since: datetime, grew_at: datetime | None, now: datetime
    ) -> datetime:
        """Since when it waits. A clock that is set back lets nobody wait anew for all of it."""
        reason = (since, grew_at)
        known, began = self._waits.get(replica_id, (None, now))
        if known != reason:
            began = max(since, grew_at or since)
        began = min(began, now)
        self._waits[replica_id] = (reason, began)
        return began

    def _look(self, log: LogEnd, now: datetime) -> datetime | None:
        """When this reader last saw the log longer than before; None: never."""
        end, grew_at = self._seen.get(log.replica_id, (None, None))
        if end is not None and log.end > end:
            grew_at = now
        self._seen[log.replica_id] = (log.end, grew_at)
        return grew_at


def missing_line(log: LogEnd) -> Line | None:
    """Says how much of an ended replica's output has not come; None where nothing is missing.

    Its node may be away, or the server's storage may refuse the bytes: the next try may bring them.
    """
    missing = (_length(log) or 0) - log.end
    if log.state != ReplicaState.EXITED or missing <= 0:
        return None
    text = f"[penstock] the last {missing} bytes of this output have not come yet"
    return Line(text.encode(), log.end)


def _length(log: LogEnd) -> int | None:
    """Of the whole output, as the agent told it with the exit."""
    told: Any = (log.exit or {}).get("log_bytes")
    return int(told) if told is not None else None
