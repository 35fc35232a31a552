"""Rows of jobs as the API shows them: a page of jobs takes seven queries, however long it is, and
two where nothing of them has changed.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from control_plane.domain.job import TERMINAL
from control_plane.store.models import Checkpoint as CheckpointRow
from control_plane.store.models import Job as JobRow
from control_plane.store.remembered import Remembered
from control_plane.store.unit_of_work import Transaction
from penstock.api.ids import JobId
from penstock.api.jobs import Checkpoint, HeldChip, Job, JobEnd, Progress
from penstock.api.specs import JobSpec
from penstock.api.states import ExitReason, JobState, JobType, Outcome
from penstock.catalogue import render
from penstock.json_types import Json

_AT_REST: Final = TERMINAL | {JobState.QUEUED}


def job_views(tx: Transaction, rows: Sequence[JobRow], now: datetime) -> list[Job]:
    """The jobs with what they hold at this moment."""
    ids = [row.id for row in rows]
    newest = tx.gangs.attempts(ids)
    chips = _held_chips(tx, ids)
    ran = tx.replicas.run_times(ids, now)
    return [
        _view(row, _spec(row), newest.get(row.id, 0), chips.get(row.id, []), ran.get(row.id), now)
        for row in rows
    ]


def job_view(tx: Transaction, job_id: JobId, now: datetime) -> Job:
    """One that is there."""
    return job_views(tx, list(tx.jobs.many([job_id]).values()), now)[0]


def known_views(
    tx: Transaction, known: Remembered[Job], ids: Sequence[JobId], now: datetime
) -> list[Job]:
    """Those that are there, in the order of the ids. Views of jobs that hold nothing are made once:
    while they wait or have ended they only age. For reads only: what a transaction that writes sees
    may never have been.
    """
    changes = tx.changes.last_of(ids)
    found = {it: view for it in ids if (view := known.get(it, changes.get(it))) is not None}
    missing = tx.jobs.many([it for it in ids if it not in found])
    for view in job_views(tx, list(missing.values()), now) if missing else ():
        found[view.id] = view
        if view.state in _AT_REST and view.id in changes:
            known.put(view.id, changes[view.id], view)
    return [_aged(found[it], now) for it in ids if it in found]


def new_job_view(row: JobRow, spec: JobSpec, now: datetime) -> Job:
    """Of a job that has just been made, by what is known of it anyway."""
    return _view(row, spec, 0, [], None, now)


def held_chips(chips: Iterable[Mapping[str, Any]], node: str) -> list[HeldChip]:
    """The chips of a lease or replica, with the node's name."""
    return [
        HeldChip(
            chip_id=chip["chip_id"],
            node=node,
            type=chip["type"],
            index=chip["index"],
            milli=chip["milli"],
            emulated=chip["emulated"],
        )
        for chip in chips
    ]


def asked(spec: JobSpec, resolved: Json) -> dict[str, float]:
    """What the whole job asks for at least: `any`, a type, or wishes in order, to chips."""
    resources = spec.resources
    least = resources.share if resources.share is not None else resources.chips.least
    if spec.task is not None:
        least *= spec.task.replicas
    if spec.serve is not None:
        least = (least or resolved.get("chips", 1)) * spec.serve.replicas
    return {",".join(resources.chip): round(least, 3)} if least else {}


def job_end(row: JobRow) -> JobEnd:
    """The last word of a job's streams."""
    message = row.coded_message
    return JobEnd(
        job=row.id,
        name=row.name,
        state=JobState(row.state),
        reason=row.reason,
        message=render(message),
        code=message.code,
        params=message.params,
        exit_code=row.exit_code,
        exit_reason=ExitReason(row.exit_reason) if row.exit_reason else None,
    )


def checkpoint_view(row: CheckpointRow, job: JobRow) -> Checkpoint:
    return Checkpoint(
        id=row.id,
        job=job.name,
        epoch=row.epoch,
        step=row.step,
        uri=row.uri,
        manifest_sha256=row.manifest_sha256,
        committed_at=row.committed_at,
        damaged=row.damaged,
    )


def _spec(row: JobRow) -> JobSpec:
    return JobSpec.model_validate(row.spec)


def _view(
    row: JobRow,
    spec: JobSpec,
    attempt: int,
    chips: list[HeldChip],
    ran_s: float | None,
    now: datetime,
) -> Job:
    message, waited_until = row.coded_message, row.started_at or row.ended_at or now
    return Job(
        id=row.id,
        name=row.name,
        project=row.project,
        queue=row.queue,
        type=JobType(row.type),
        priority=row.priority,
        attempt=attempt,
        state=JobState(row.state),
        reason=row.reason,
        message=render(message),
        code=message.code,
        params=message.params,
        since=row.since,
        outcome=Outcome(row.outcome) if row.outcome else None,
        exit_code=row.exit_code,
        exit_reason=ExitReason(row.exit_reason) if row.exit_reason else None,
        created_at=row.created_at,
        started_at=row.started_at,
        ended_at=row.ended_at,
        waited_s=_seconds(row.created_at, waited_until),
        ran_s=None if ran_s is None else round(ran_s, 3),
        asked=asked(spec, row.resolved),
        chips=chips,
        progress=Progress.model_validate(row.progress) if row.progress else None,
        result=row.result,
        retry_of=row.retry_of,
        labels=row.labels,
        spec=spec,
        etag=str(row.version),
    )


def _aged(view: Job, now: datetime) -> Job:
    if view.started_at is not None or view.ended_at is not None:
        return view
    return view.model_copy(update={"waited_s": _seconds(view.created_at, now)})


def _seconds(start: datetime, end: datetime) -> float:
    return max(0.0, round((end - start).total_seconds(), 3))


def _held_chips(tx: Transaction, job_ids: Sequence[JobId]) -> dict[str, list[HeldChip]]:
    leases = [lease for lease in tx.leases.held_by_jobs(job_ids) if lease.chips]
    nodes = tx.nodes.names({lease.node_id for lease in leases})
    chips: dict[str, list[HeldChip]] = defaultdict(list)
    for lease in sorted(leases, key=lambda lease: lease.id):
        name = nodes.get(lease.node_id, lease.node_id)
        chips[lease.job_id] += held_chips(lease.chips, name)
    return chips
