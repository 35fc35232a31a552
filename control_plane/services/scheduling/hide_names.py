"""Keeps names of other projects' jobs from callers who may not see them. What is planned stays
the same: only the names change.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TypeVar

from control_plane.services.deps import Caller
from scheduler.model import Gang, RunningGang, Snapshot

SOMEBODY = "a job of another project"

GangT = TypeVar("GangT", Gang, RunningGang)


def hide_names(snapshot: Snapshot, caller: Caller) -> Snapshot:
    """The snapshot with the names of jobs that the caller may not see replaced."""
    if caller.sees is None:
        return snapshot

    def seen(gang: GangT) -> GangT:
        mine = gang.project == caller.project
        return gang if mine else replace(gang, job_name=SOMEBODY)

    return replace(
        snapshot,
        queued=tuple(seen(gang) for gang in snapshot.queued),
        running=tuple(seen(gang) for gang in snapshot.running),
    )
