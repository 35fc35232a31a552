"""Observations on their way to the control plane: in order per replica, merged while they wait.

Pure; sending is `loops/reports.py`'s. A state once entered is never merged away, so that the
control plane sees every step that a replica took.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from penstock.api.assignments import Observation, ReportRequest
from penstock.api.ids import ReplicaId
from penstock.api.states import ReplicaState

MAX_PER_REQUEST: Final = 1000


class Outbox:
    """What is still to be told. `take` what is to be sent; what failed is put `back`."""

    def __init__(self) -> None:
        self._waiting: dict[ReplicaId, list[Observation]] = {}

    def put(self, observation: Observation) -> None:
        """Adds the newest observation of a replica."""
        queue = self._waiting.setdefault(observation.replica_id, [])
        if queue and _mergeable(queue[-1], observation):
            queue[-1] = merged(queue[-1], observation)
        else:
            queue.append(observation)

    def take(self, at_most: int = MAX_PER_REQUEST) -> ReportRequest | None:
        """The oldest observations, all of a replica or none; None when there is nothing to tell."""
        taken: list[Observation] = []
        for replica_id in list(self._waiting):
            if len(taken) + len(self._waiting[replica_id]) > at_most and taken:
                break
            taken += self._waiting.pop(replica_id)
        return ReportRequest(observations=tuple(taken)) if taken else None

    def back(self, request: ReportRequest) -> None:
        """Puts what could not be sent in front of what came meanwhile."""
        later, self._waiting = self._waiting, {}
        for observation in (*request.observations, *_all(later.values())):
            self.put(observation)

    def drop(self, replica_id: ReplicaId) -> None:
        """Nothing about this replica will be wanted."""
        self._waiting.pop(replica_id, None)

    def holds(self, replica_id: ReplicaId) -> bool:
        return replica_id in self._waiting

    def __len__(self) -> int:
        return len(self._waiting)


def merged(older: Observation, newer: Observation) -> Observation:
    """One observation that says what both said; the newer wins where both speak."""
    said = {name: value for name, value in newer if value is not None and value != ""}
    if older.result is not None and newer.result is not None:
        said["result"] = {**older.result, **newer.result}
    if older.speeds is not None and newer.speeds is not None:
        said["speeds"] = {**older.speeds, **newer.speeds}
    return older.model_copy(update=said)


def _mergeable(older: Observation, newer: Observation) -> bool:
    return (
        older.state == newer.state
        and older.epoch == newer.epoch
        and older.state is not ReplicaState.EXITED
    )


def _all(queues: Iterable[list[Observation]]) -> list[Observation]:
    return [observation for queue in queues for observation in queue]
