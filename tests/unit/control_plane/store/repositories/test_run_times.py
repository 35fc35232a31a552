"""Spans of time that overlap count once, and gaps do not count."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from control_plane.store.repositories.run_times import Span, covered_s

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def _span(start_s: float, end_s: float) -> Span:
    return NOW + timedelta(seconds=start_s), NOW + timedelta(seconds=end_s)


def test_overlapping_spans_count_once_and_gaps_not_at_all() -> None:
    assert covered_s([]) == 0
    assert covered_s([_span(20, 30), _span(0, 10)]) == 20
    assert covered_s([_span(0, 10), _span(2, 4), _span(5, 12)]) == 12


def test_a_span_that_ends_before_it_begins_counts_as_nothing() -> None:
    assert covered_s([_span(5, 3), _span(10, 11)]) == 1
