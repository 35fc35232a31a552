"""Keeps names of other projects' jobs from callers who may not see them. What is planned stays
the same: only the names change.
"""

from __future__ import annotations

from dataclasses import replace

from control_plane.services.deps import Caller
from control_plane.store.repositories.listing import job_names
from control_plane.store.unit_of_work import Transaction
from scheduler.model import Snapshot

SOMEBODY = "a job of another project"


def hide_names(tx: Transaction, snapshot: Snapshot, caller: Caller) -> Snapshot:
    """The snapshot with the names of jobs that the caller may not see replaced."""
    if caller.sees is None:
        return snapshot
    ids = {gang.job_id for gang in snapshot.queued} | {it.job_id for it in snapshot.running}
    names = job_names(tx.session, ids)
    mine = {job_id for job_id, (_, project_id) in names.items() if project_id == caller.sees}
    return replace(
        snapshot,
        queued=tuple(
            gang if gang.job_id in mine else replace(gang, job_name=SOMEBODY)
            for gang in snapshot.queued
        ),
        running=tuple(
            gang if gang.job_id in mine else replace(gang, job_name=SOMEBODY)
            for gang in snapshot.running
        ),
    )
