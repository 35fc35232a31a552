"""The page of metrics: what is counted, and nothing beside it."""

from __future__ import annotations

from control_plane.services.nodes.count import PoolCounts
from control_plane.telemetry.metrics import Metrics

NOTHING = PoolCounts({}, {}, {}, {}, {}, {}, {}, {}, {}, {})


def test_no_series_only_says_when_another_was_created() -> None:
    metrics = Metrics(lambda: NOTHING)
    metrics.request("/api/v1/jobs", "GET", 200, 0.01)
    metrics.cycle(1, 0.02)
    page = metrics.exposition().decode()
    assert 'penstock_http_requests_total{code="200",' in page
    assert "penstock_scheduler_cycle_seconds_count 1.0" in page
    assert "_created" not in page


def test_log_lines_that_were_dropped_are_counted() -> None:
    page = Metrics(lambda: NOTHING, lambda: 3).exposition().decode()
    assert "penstock_log_dropped_lines_total 3.0" in page
