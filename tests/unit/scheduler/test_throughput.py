"""Speeds and their origins, and batch shares in proportion to them."""

from __future__ import annotations

from dataclasses import replace

import pytest

from scheduler.model import Rate, Speeds, Work
from scheduler.throughput import expected_speed

WORK = Work("train/x", flops_per_token=100.0, bytes_per_token=10.0)


def _speeds(measured: dict[str, float] | None = None, **flops: float) -> Speeds:
    rates = {
        name: {"flops.bf16": Rate(value, "datasheet"), "memory": Rate(1e6, "datasheet")}
        for name, value in flops.items()
    }
    known = {name: Rate(value, "observed") for name, value in (measured or {}).items()}
    return Speeds({"train/x": known}, rates)


def test_a_measured_speed_comes_first() -> None:
    speeds = _speeds({"fast": 7.0}, fast=1e9)
    assert expected_speed(WORK, "fast", speeds) == Rate(7.0, "observed")


def test_an_unmeasured_type_gets_the_lesser_bound_of_its_roofline() -> None:
    assert expected_speed(WORK, "new", _speeds(new=1e4)) == Rate(1e4 / 100, "roofline")
    assert expected_speed(WORK, "new", _speeds(new=1e9)) == Rate(1e6 / 10, "roofline")


def test_the_roofline_is_scaled_by_what_measured_types_reach() -> None:
    speeds = _speeds({"old": 20.0}, old=1e4, new=3e4)
    found = expected_speed(WORK, "new", speeds)
    assert found is not None
    assert found.value == pytest.approx(60.0)
    assert found.origin == "roofline"


def test_nothing_is_guessed_where_nothing_is_known() -> None:
    assert expected_speed(WORK, "new", _speeds({"old": 20.0})) is None


def test_another_class_of_work_says_nothing() -> None:
    assert expected_speed(Work("train/y"), "old", _speeds({"old": 20.0})) is None


def test_the_roofline_goes_by_the_type_that_is_computed_in() -> None:
    rates = {"flops.bf16": Rate(8e4, "datasheet"), "flops.fp32": Rate(1e4, "datasheet")}
    speeds = Speeds(rates={"new": rates})
    assert expected_speed(WORK, "new", speeds) == Rate(8e4 / 100, "roofline")
    assert expected_speed(replace(WORK, dtype="fp32"), "new", speeds) == Rate(100.0, "roofline")


def test_a_server_reads_as_many_tokens_as_it_writes() -> None:
    speeds = Speeds(
        {
            "decode": {"both": Rate(10.0, "observed"), "one": Rate(10.0, "profile")},
            "prefill": {"both": Rate(90.0, "observed")},
        }
    )
    work = Work("decode", prefill=Work("prefill"))
    both = expected_speed(work, "both", speeds)
    assert both is not None
    assert (round(both.value, 6), both.origin) == (18.0, "observed")
    assert expected_speed(work, "one", speeds) == Rate(10.0, "profile")
    assert expected_speed(work, "none", speeds) is None
