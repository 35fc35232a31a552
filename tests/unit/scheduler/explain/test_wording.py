"""Counts, sizes and requests in words."""

from __future__ import annotations

import pytest

from scheduler.explain.wording import (
    asked,
    cores,
    counted,
    demands,
    listed,
    plural,
    size,
    thousandths,
)
from tests.builders import GIB, VENDORS, JobBuilder, a_job


@pytest.mark.parametrize(
    "job,words",
    [
        (a_job().training(64), "64 chips of type any"),
        (a_job().training(1, chip=("a", "b")), "1 chip of type a or b"),
        (a_job().training(2, 8, chip="nvidia"), "at least 2 chips of vendor nvidia"),
        (a_job().gang_of(3, chips=2), "3 × 2 chips of type any"),
        (a_job().asking(1, milli=250), "0.25 of a chip of type any"),
        (a_job(), "1 host core and 1 GiB of memory"),
        (a_job().gang_of(4, chips=0, cores_milli=500), "4 × 0.5 host cores and 1 GiB of memory"),
    ],
)
def test_what_a_gang_asks_for(job: JobBuilder, words: str) -> None:
    assert asked(job.gang, VENDORS) == words


def test_what_else_is_asked_of_a_chip() -> None:
    request = a_job().asking(1, memory_bytes=16 * GIB, dtype="bf16").gang.request
    assert demands(request) == " with at least 16 GiB each and bf16"
    assert demands(a_job().gang.request) == ""


def test_small_words() -> None:
    assert counted({"b": 2, "a": 1, "none": 0}) == "1 a, 2 b"
    assert (plural(1, "chip"), plural(2, "chip")) == ("1 chip", "2 chips")
    assert (listed(["a"]), listed(["a", "b", "c"], "or")) == ("a", "a, b or c")
    assert (thousandths(2000), thousandths(500), thousandths(1)) == ("2", "0.5", "0.001")
    assert (cores(1000), cores(1500)) == ("1 host core", "1.5 host cores")
    assert (size(2 * GIB), size(GIB * 3 // 2), size(5)) == ("2 GiB", "1.5 GiB", "5 B")
