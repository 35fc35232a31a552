"""The reported speeds by phase; what the agent is told and when."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest

from penstock.api.assignments import SpeedReport
from penstock.api.jobs import Progress
from penstock.api.work import DECODE_BATCH, Phase, serve_class
from workloads.engine.reporting import AgentReports
from workloads.engine.speed import Totals, measured_speed

CLASSES = {
    phase: serve_class(phase, "llama-2x128", 1, "fp32") for phase in (Phase.PREFILL, Phase.DECODE)
}


def test_only_full_decoding_steps_and_steps_of_prompts_alone_count() -> None:
    totals = Totals().plus([1] * DECODE_BATCH, 2.0).plus([1] * 2, 9.0).plus([64] + [1] * 8, 9.0)
    totals = totals.plus([64, 16], 1.0)
    assert totals.num_tokens == DECODE_BATCH + 2 + 72 + 80
    none = Totals().phases
    assert {phase: it.speed_since(none[phase]) for phase, it in totals.phases.items()} == {
        Phase.DECODE: DECODE_BATCH / 2.0,
        Phase.PREFILL: 80.0,
    }


def test_too_short_a_time_gives_no_speed() -> None:
    totals = Totals().plus([1] * DECODE_BATCH, 0.5).phases[Phase.DECODE]
    assert totals.speed_since(Totals().phases[Phase.DECODE]) is None


def test_the_speed_at_start_counts_wall_time_after_the_first_step() -> None:
    now = [0.0]

    def step() -> int:
        now[0] += 0.25
        return 8

    assert measured_speed(step, lambda: now[0], 1.0, 3) == pytest.approx(8 / 0.25)


@dataclass
class FakeReports:
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
    teller: FakeReports
    totals: Totals = field(default_factory=Totals)

    def reports(self) -> AgentReports:
        return AgentReports(self.teller, CLASSES, lambda: self.totals)


def test_ready_comes_with_the_speed_measured_at_start() -> None:
    reported = Reported(FakeReports())
    reported.reports().ready({Phase.DECODE: 120.0, Phase.PREFILL: 900.0})
    assert reported.teller.num_ready == 1
    assert [(s.work_class, s.value, s.unit, s.origin) for s in reported.teller.speeds] == [
        ("serve/decode/llama-2x128/fp32/-/m1/b8", 120.0, "tokens/s", "profile"),
        ("serve/prefill/llama-2x128/fp32/-/m1/b1", 900.0, "tokens/s", "profile"),
    ]


def test_an_idle_replica_falls_silent_after_saying_so_once() -> None:
    reported = Reported(FakeReports())
    reports = reported.reports()
    reports.report(2.0)
    reported.totals = reported.totals.plus([10], 1.0)
    for _ in range(3):
        reports.report(2.0)
    assert [(p.tokens, p.tokens_per_s) for p in reported.teller.told] == [(10, 5.0), (10, 0.0)]


def test_a_speed_seen_in_service_is_reported_once() -> None:
    reported = Reported(FakeReports())
    reports = reported.reports()
    reported.totals = reported.totals.plus([1] * DECODE_BATCH, 2.0)
    reports.report(2.0)
    reports.report(2.0)
    assert [speed.value for speed in reported.teller.speeds] == [DECODE_BATCH / 2.0]
