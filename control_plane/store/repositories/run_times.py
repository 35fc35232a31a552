"""How long jobs really ran: the time in which at least one of a job's attempts ran."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

Span = tuple[datetime, datetime]


def covered_s(spans: Iterable[Span]) -> float:
    """Seconds that the spans cover together; where they overlap they count once."""
    total_s, reached = 0.0, None
    for start, end in sorted(spans):
        begin = start if reached is None else max(start, reached)
        total_s += max(0.0, (end - begin).total_seconds())
        reached = end if reached is None else max(end, reached)
    return total_s
