"""Quantities as people read them."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from penstock.cli.following.progress import progress_line
from penstock.words import age, counts, duration, held, quantity, size, without_exponents


@pytest.mark.parametrize(
    "seconds,shown",
    [(None, "-"), (0.04, "0.0s"), (9.96, "10.0s"), (59, "59s"), (61, "1m01s"), (3600, "1h00m"),
     (90061, "1d01h"), (-1, "0.0s")],
)  # fmt: skip
def test_durations_have_two_figures_that_matter(seconds: float | None, shown: str) -> None:
    assert duration(seconds) == shown


@pytest.mark.parametrize(
    "num_bytes,shown",
    [(None, "-"), (0, "0B"), (1536, "1.5KiB"), (16 * 2**30, "16GiB"), (2**50, "1024TiB")],
)
def test_sizes_are_binary(num_bytes: int | None, shown: str) -> None:
    assert size(num_bytes) == shown


def test_ages_are_against_the_time_given() -> None:
    now = datetime(2026, 1, 1, 12, tzinfo=UTC)
    assert age("2026-01-01T11:59:00+00:00", now) == "1m00s"
    assert age(None, now) == "-"


def test_chips_are_summed_by_type_with_their_parts() -> None:
    assert held([{"type": "b", "milli": 1000}, {"type": "a", "milli": 500}]) == "a:0.5,b:1"
    assert counts({}) == "-"


def test_the_progress_line_shows_what_is_reported_and_nothing_else() -> None:
    full = {"step": 30, "total_steps": 120, "loss": 2.5, "tokens_per_s": 1520.4, "step_time_s": 2.0}
    assert progress_line(full, 120) == (
        "[######------------------]  step 30/120  loss 2.5000  1,520 tokens/s  3m00s left"
    )
    assert progress_line({"loss": 1.0}, 120) == "loss 1.0000"
    assert progress_line({"message": "tokenizing\x1b[2J"}, 120) == "tokenizing\\x1b[2J"
    assert progress_line(None, 120) == ""
    assert len(progress_line(full, 40)) == 39


def test_rates_are_written_for_people() -> None:
    assert quantity(4.47e10, "FLOP/s") == "44.7 GFLOP/s"
    assert quantity(999.9e6, "B/s") == "1 GB/s"
    assert quantity(13570.4, "tokens/s") == "13,570 tokens/s"
    assert quantity(3.14159, "tokens/s") == "3.14 tokens/s"
    told = without_exponents("cpu: flops.float32 4.47e+10 FLOP/s, memory 12 B/s, 1e5 of them")
    assert told == "cpu: flops.float32 44.7 GFLOP/s, memory 12 B/s, 1e5 of them"
