"""What workloads say of themselves, slowed down to what the control plane needs to hear. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

from penstock.api.assignments import SpeedReport
from penstock.api.ids import ReplicaId
from penstock.api.jobs import Progress

INTERVAL_NS: Final = 500_000_000
MOST_SPEEDS: Final = 8


@dataclass(frozen=True, slots=True)
class Note:
    """The latest word of one replica; None where it said nothing new."""

    progress: Progress | None = None
    speeds: Mapping[str, SpeedReport] = field(default_factory=dict)
    """By class of work."""


class Notes:
    """At most one note per replica and half a second leaves; the latest words win."""

    def __init__(self) -> None:
        self._pending: dict[ReplicaId, Note] = {}
        self._due_ns: dict[ReplicaId, int] = {}

    def put(self, replica_id: ReplicaId, note: Note) -> None:
        before = self._pending.get(replica_id, Note())
        speeds = {**before.speeds, **note.speeds}
        self._pending[replica_id] = Note(
            progress=note.progress or before.progress,
            speeds=dict(list(speeds.items())[-MOST_SPEEDS:]),
        )

    def due(self, now_ns: int) -> Iterator[tuple[ReplicaId, Note]]:
        """Takes out the notes whose turn has come."""
        for replica_id in list(self._pending):
            if now_ns >= self._due_ns.get(replica_id, 0):
                self._due_ns[replica_id] = now_ns + INTERVAL_NS
                yield replica_id, self._pending.pop(replica_id)

    def next_ns(self) -> int | None:
        """When the next turn comes; None when nothing waits."""
        return min((self._due_ns.get(it, 0) for it in self._pending), default=None)

    def end(self, replica_id: ReplicaId) -> Note | None:
        """The last word of a replica that has ended, whatever its turn."""
        self._due_ns.pop(replica_id, None)
        return self._pending.pop(replica_id, None)
