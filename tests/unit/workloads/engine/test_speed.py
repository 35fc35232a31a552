"""The reported speed: full decoding steps only; what the agent is told and when."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest

from penstock.api.assignments import SpeedReport
from penstock.api.jobs import Progress
from workloads.engine.reporting import AgentReports
from workloads.engine.speed import FULL_STEP, Totals, decoding_speed


def test_only_full_decoding_steps_count_towards_the_speed() -> None:
    totals = Totals().plus([1] * FULL_STEP, 2.0).plus([1] * 2, 9.0).plus([64] + [1] * 8, 9.0)
    assert totals.num_tokens == FULL_STEP + 2 + 72
    assert totals.speed_since(Totals()) == FULL_STEP / 2.0


def test_too_short_a_time_gives_no_speed() -> None:
    assert Totals().plus([1] * FULL_STEP, 0.5).speed_since(Totals()) is None


def test_the_speed_at_start_counts_wall_time_after_the_first_step() -> None:
    now = [0.0]

    def step() -> None:
        now[0] += 0.25

    assert decoding_speed(step, lambda: now[0], least_s=1.0) == pytest.approx(FULL_STEP / 0.25)


@dataclass
class FakeTeller:
    told: list[Progress] = field(default_factory=list)
    speeds: list[SpeedReport] = field(default_factory=list)
    num_ready: int = 0

    def progress(self, progress: Progress) -> None:
        self.told.append(progress)

    def speed(self, speed: SpeedReport) -> None:
        self.speeds.append(speed)

    def ready(self) -> None:
        self.num_ready += 1


@dataclass
class Reported:
    teller: FakeTeller
    totals: Totals = field(default_factory=Totals)

    def reports(self) -> AgentReports:
        return AgentReports(self.teller, "serve/llama-2x128", lambda: self.totals)


def test_ready_comes_with_the_speed_measured_at_start() -> None:
    reported = Reported(FakeTeller())
    reported.reports().ready(120.0)
    assert reported.teller.num_ready == 1
    assert [(s.work_class, s.value, s.unit) for s in reported.teller.speeds] == [
        ("serve/llama-2x128", 120.0, "tokens/s")
    ]


def test_an_idle_replica_falls_silent_after_saying_so_once() -> None:
    reported = Reported(FakeTeller())
    reports = reported.reports()
    reports.report(2.0)
    reported.totals = reported.totals.plus([10], 1.0)
    for _ in range(3):
        reports.report(2.0)
    assert [(p.tokens, p.tokens_per_s) for p in reported.teller.told] == [(10, 5.0), (10, 0.0)]


def test_a_speed_seen_in_service_is_reported_once() -> None:
    reported = Reported(FakeTeller())
    reports = reported.reports()
    reported.totals = reported.totals.plus([1] * FULL_STEP, 2.0)
    reports.report(2.0)
    reports.report(2.0)
    assert [speed.value for speed in reported.teller.speeds] == [FULL_STEP / 2.0]
