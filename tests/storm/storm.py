"""One storm: a cloud, rounds of faults, and an audit after each of them."""

from __future__ import annotations

import heapq
import shutil
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from sqlalchemy.exc import SQLAlchemyError

from tests.storm import evidence
from tests.storm.books import Books, Observer
from tests.storm.cloud import ROOT, Cloud
from tests.storm.plan import NODES, SERVERS, Strike, plan_round
from tests.storm.strikes import Active, Striker
from tests.storm.submitter import TTL_S, Submitter, unanswered

ROUND_S: Final = 75.0
REST_S: Final = 150.0
"""A lease of 30 s with both margins, the jobs that wait for its chips, and their back-offs."""
UNANSWERED_S: Final = 25.0
TICK_S: Final = 0.1


@dataclass(frozen=True, slots=True)
class Order:
    """What is asked of one storm: it runs rounds until so many faults are done."""

    seed: int
    database: str
    kinds: tuple[str, ...]
    num_faults: int
    first_round: int = 0
    round_s: float = ROUND_S
    tree: Path = ROOT


@dataclass(slots=True)
class Report:
    """What one storm came to. `kept`: the folder of a storm with findings."""

    order: Order
    num_faults: int = 0
    num_jobs: int = 0
    num_rounds: int = 0
    findings: list[str] = field(default_factory=list)
    kept: Path | None = None


def run_storm(
    order: Order, stopping: threading.Event, told: Callable[[str], None],
    round_done: Callable[[int, int, int], None] = lambda number, faults, jobs: None,
) -> Report:  # fmt: skip
    """Ends early with its first findings. `round_done` gets number, faults and jobs so far."""
    report = Report(order)
    cloud = Cloud(order.database, order.seed, order.kinds, order.tree)
    try:
        cloud.start()
        with _Storm(cloud, order, stopping, told) as storm:
            number = order.first_round
            while not stopping.is_set() and report.num_faults < order.num_faults:
                found = storm.round(number)
                report.num_faults = storm.striker.num_done
                report.num_jobs = len(storm.submitter.accepted)
                report.num_rounds += 1
                if found:
                    report.findings = found
                    break
                if not stopping.is_set():
                    round_done(number, report.num_faults, report.num_jobs)
                number += 1
    finally:
        cloud.close(keep=bool(report.findings))
    if report.findings:
        report.kept = cloud.folder.with_name(cloud.folder.name + "-kept")
        (report.kept / "findings.txt").write_text("\n".join(report.findings), encoding="utf-8")
    return report


class _Storm:
    """The threads beside one cloud, and the rounds."""

    def __init__(
        self, cloud: Cloud, order: Order, stopping: threading.Event, told: Callable[[str], None]
    ) -> None:
        self.cloud, self.order, self.told = cloud, order, told
        self.books = Books(cloud.database_url)
        self.observer = Observer(self.books)
        self.submitter = Submitter(cloud, order.seed, cloud.folder, self._num_open)
        self.striker = Striker(cloud, self.submitter)
        self._stopping = stopping

    def __enter__(self) -> _Storm:
        self.observer.start()
        self.submitter.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.submitter.close()
        self.observer.close()

    def round(self, number: int) -> list[str]:
        """The findings of one round, each with what is needed to see it again."""
        self.striker.done.append(f"round {number}")
        (self.cloud.evidence / "hurry").unlink(missing_ok=True)
        self.submitter.go_on()
        plan = plan_round(
            self.order.seed, number, self.order.kinds, self.order.database, self.order.round_s
        )
        self._strike(plan)
        self.submitter.pause()
        (self.cloud.evidence / "hurry").touch()
        if self._stopping.is_set():
            return []
        began = time.monotonic()
        unrest = self._await_rest()
        rest_s = time.monotonic() - began
        found = self._audit(unrest)
        self.told(
            f"{self.order.database} seed {self.order.seed} round {number}: "
            f"{self.striker.num_done} faults, {len(self.submitter.accepted)} jobs so far, at rest "
            f"after {rest_s:.0f} s, {len(found)} findings"
        )
        where = f"{self.order.database} seed {self.order.seed} round {number}: "
        return [where + it for it in found]

    def _strike(self, plan: Sequence[Strike]) -> None:
        began, waiting = time.monotonic(), list(plan)
        actives: list[tuple[float, int, Active]] = []
        while (waiting or actives) and not self._stopping.is_set():
            now_s = time.monotonic() - began
            if waiting and waiting[0].at_s <= now_s:
                strike = waiting.pop(0)
                active = self.striker.inject(strike)
                if active is not None:
                    heapq.heappush(actives, (now_s + strike.for_s, len(waiting), active))
            elif actives and actives[0][0] <= now_s:
                self.striker.heal(heapq.heappop(actives)[2])
            else:
                self.cloud.tend()
                time.sleep(TICK_S)
        for _, _, active in actives:
            self.striker.heal(active)
        self._write_down()

    def _await_rest(self) -> list[str]:
        """What keeps the cloud from rest; nothing once it is at rest."""
        until, unrest = time.monotonic() + REST_S, ["the database could not be read"]
        while unrest and time.monotonic() < until and not self._stopping.is_set():
            time.sleep(0.5)
            self.cloud.tend()
            with suppress(SQLAlchemyError):
                unrest = self.books.unrest([it.job for it in self.submitter.accepted], list(NODES))
        return [f"not at rest after {REST_S:g} s: {it}" for it in unrest[:8]]

    def _audit(self, unrest: list[str]) -> list[str]:
        time.sleep(evidence.AFTER_END_S + 1.0)  # whoever runs on has left its beats by then
        runs = evidence.read_runs(self.cloud.evidence)
        found = [*unrest, *self.submitter.refusals]
        found += evidence.doubled(runs)
        found += evidence.outlived(runs, dict(self.observer.seen_ended_ns))
        found += unanswered(
            list(self.submitter.tries), self.striker.disturbed, SERVERS[self.order.database],
            UNANSWERED_S,
        )  # fmt: skip
        try:
            found += evidence.shared_chips(runs, self.books.held_chips())
            node_of = self.books.node_of()
            found += evidence.past_deadline(runs, node_of, self.striker.silences, TTL_S)
            found += self.books.findings([(it.key, it.job) for it in self.submitter.accepted])
            if set(self.order.kinds) == {"clock"}:
                found += self._needless(node_of)
        except SQLAlchemyError as error:
            found.append(f"the database cannot be read: {error}")
        return found

    def _needless(self, node_of: dict[str, str]) -> list[str]:
        """Where only clocks were stepped, only nodes that were cut off may lose an attempt."""
        struck = {it.node for it in self.striker.silences}
        first = {
            run.job: node_of.get(run.replica)
            for run in evidence.read_runs(self.cloud.evidence) if run.epoch == 1
        }  # fmt: skip
        return [
            f"needless: {job} took {attempts} attempts though only clocks were stepped"
            for job, attempts in self.books.attempts().items()
            if attempts > 1 and first.get(job) not in struck
        ]

    def _num_open(self) -> int:
        ended = self.observer.seen_ended_ns
        return sum(it.job not in ended for it in list(self.submitter.accepted))

    def _write_down(self) -> None:
        text = "\n".join(self.striker.done) + "\n"
        (self.cloud.folder / "faults.txt").write_text(text, encoding="utf-8")


def forget(report: Report) -> None:
    """Removes what a storm with findings kept."""
    if report.kept is not None:
        shutil.rmtree(report.kept, ignore_errors=True)
