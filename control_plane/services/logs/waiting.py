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
from penstock.api.states import ReplicaState

# Since the replica's end, or since its log last grew: where its agent told the length (one that
# could not reach us tries again within 10 s), and where it did not.
PATIENCE_S: Final = 20.0
BLIND_PATIENCE_S: Final = 0.5


@dataclass(slots=True)
class LogPatience:
    """One reader's. It remembers when it saw each log grow."""

    _seen: dict[str, tuple[int, datetime | None, datetime | None]] = field(default_factory=dict)
    """The log's end, when its replica or job ended, and since when it is waited for."""

    def is_over(self, log: LogEnd, job_ended_at: datetime | None, now: datetime) -> bool:
        """Whether no more bytes of this log are to be waited for.

        That of a live replica is over only long after its job's end, whatever its row says.
        """
        since = log.since if log.state == ReplicaState.EXITED else job_ended_at
        began, length = self._began(log, since, now), _length(log)
        if log.state == ReplicaState.LOST:
            return True
        if since is None or began is None:
            return False
        if length is not None and log.end >= length:
            return True
        blind = log.state == ReplicaState.EXITED and length is None
        return (now - began).total_seconds() >= (BLIND_PATIENCE_S if blind else PATIENCE_S)

    def _began(self, log: LogEnd, since: datetime | None, now: datetime) -> datetime | None:
        """Since when it waits: the end, or when the log was last seen to grow. A clock that is set
        back lets nobody wait anew for all of it.
        """
        end, known, began = self._seen.get(log.replica_id, (log.end, since, since))
        if log.end > end:
            began = now
        elif since is not None and since != known:
            began = max(since, began or since)
        began = min(began, now) if began else None
        self._seen[log.replica_id] = (log.end, since, began)
        return began


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
    num_bytes: Any = (log.exit or {}).get("log_bytes")
    return int(num_bytes) if num_bytes is not None else None
