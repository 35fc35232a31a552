"""What a serving replica tells its agent: that it is ready, its speed, the tokens it worked on."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Final, Literal, Protocol

from penstock.api.assignments import SpeedReport
from penstock.api.jobs import Progress
from penstock.api.work import Phase, WorkClass
from workloads.engine.speed import Totals

INTERVAL_S: Final = 2.0


class Reports(Protocol):
    """The part of `workloads.reporter.Reporter` that serving uses."""

    def progress(self, progress: Progress) -> None: ...

    def speed(self, speed: SpeedReport) -> None: ...

    def ready(self) -> None: ...


class AgentReports:
    """Turns the engine's running totals into reports."""

    def __init__(
        self, reports: Reports, classes: Mapping[Phase, WorkClass], totals: Callable[[], Totals]
    ) -> None:
        self._reports = reports
        self._classes = classes
        self._totals = totals
        self._reported = totals()
        self._speeds_from = dict(self._reported.phases)
        self._was_busy = False

    def ready(self, tokens_per_s: Mapping[Phase, float]) -> None:
        """The replica serves, this fast as measured at start."""
        self._reports.ready()
        for phase, value in tokens_per_s.items():
            self._report_speed(phase, value, "profile")

    async def run(self) -> None:
        """Reports for as long as it is not cancelled."""
        while True:
            await asyncio.sleep(INTERVAL_S)
            self.report(INTERVAL_S)

    def report(self, seconds: float) -> None:
        """Tells what happened in the last `seconds`; an idle replica says so once."""
        now = self._totals()
        num_new = now.num_tokens - self._reported.num_tokens
        if num_new or self._was_busy:
            rate = num_new / seconds
            self._reports.progress(Progress(tokens=now.num_tokens, tokens_per_s=rate))
        self._reported, self._was_busy = now, num_new > 0
        for phase, totals in now.phases.items():
            if (speed := totals.speed_since(self._speeds_from[phase])) is not None:
                self._speeds_from[phase] = totals
                self._report_speed(phase, speed, "observed")

    def _report_speed(
        self, phase: Phase, tokens_per_s: float, origin: Literal["profile", "observed"]
    ) -> None:
        work_class = str(self._classes[phase])
        self._reports.speed(SpeedReport(work_class=work_class, value=tokens_per_s, origin=origin))
