"""How long jobs really ran: the time in which at least one of a job's attempts ran."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable
from datetime import datetime

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from control_plane.store.models import Replica

Span = tuple[datetime, datetime]


def run_times(session: Session, job_ids: Collection[str], now: datetime) -> dict[str, float]:
    """Job id → seconds, without the waiting between attempts; a job that never ran is left out.
    One query, however many the jobs are.
    """
    if not job_ids:
        return {}
    ended = func.count(Replica.ended_at)
    rows = session.execute(
        select(
            Replica.job_id, func.min(Replica.started_at), func.max(Replica.ended_at),
            func.count() - ended,
        )
        .where(Replica.job_id.in_(tuple(job_ids)))
        .group_by(Replica.job_id, Replica.gang_id, Replica.attempt)
    )  # fmt: skip
    spans: dict[str, list[Span]] = defaultdict(list)
    for job_id, start, end, num_live in rows:
        if start is not None:
            spans[job_id].append((start, now if num_live or end is None else end))
    return {job_id: covered_s(found) for job_id, found in spans.items()}


def covered_s(spans: Iterable[Span]) -> float:
    """Seconds that the spans cover together; where they overlap they count once."""
    total_s, reached = 0.0, None
    for start, end in sorted(spans):
        begin = start if reached is None else max(start, reached)
        total_s += max(0.0, (end - begin).total_seconds())
        reached = end if reached is None else max(end, reached)
    return total_s
