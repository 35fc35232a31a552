"""One storm: a cloud, rounds of faults, and an audit after each of them."""

from __future__ import annotations

import heapq
import threading
import time
from bisect import insort
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Final

from sqlalchemy.exc import SQLAlchemyError

from tests.storm import evidence
from tests.storm.books import Books, Observer
from tests.storm.cloud import ROOT, Cloud
from tests.storm.plan import FAULTS, NODES, SERVERS, Strike, plan_round
from tests.storm.strikes import Active, Striker
from tests.storm.submitter import TTL_S, Submitter, unanswered

ROUND_S: Final = 90.0
REST_S: Final = 150.0
"""A lease of 30 s with both margins, the jobs that wait for its chips, and their back-offs."""
UNANSWERED_S: Final = 25.0
METERED_S: Final = 100.0
"""Usage is rolled up each minute."""
TICK_S: Final = 0.1
AGAIN_S: Final = 2.0
"""Where there is nothing to strike at a moment it is tried again."""


@dataclass(frozen=True, slots=True)
class Order:
    """What is asked of one storm: it runs rounds until so many faults are done. `meters`: in the
    end it waits until the use of all leases is counted, a minute at most.
    """

    seed: int
    database: str
    kinds: tuple[str, ...]
    num_faults: int
    first_round: int = 0
    round_s: float = ROUND_S
    tree: Path = ROOT
    meters: bool = True


@dataclass(slots=True)
class Tally:
    """What one round came to, or several. By names of faults: those that struck, those that found
    nothing to strike. `kept`: folders of storms with findings.
    """

    rounds: int = 0
    jobs: int = 0
    struck: Counter[str] = field(default_factory=Counter)
    left_out: Counter[str] = field(default_factory=Counter)
    findings: list[str] = field(default_factory=list)
    kept: list[str] = field(default_factory=list)

    @property
    def num_faults(self) -> int:
        return self.struck.total()

    def add(self, other: Tally) -> None:
        self.rounds += other.rounds
        self.jobs += other.jobs
        self.struck += other.struck
        self.left_out += other.left_out
        self.findings += other.findings
        self.kept += other.kept

    def num_found(self, *words: str) -> int:
        """Findings that say one of these words, as in `lost: job_1 is queued`."""
        return sum(any(f": {word}: " in it for word in words) for it in self.findings)


def run_storm(
    order: Order,
    stopping: threading.Event,
    told: Callable[[str], None],
    round_done: Callable[[Tally], None] = lambda one: None,
) -> Tally:
    """Ends early with its first findings. `round_done` gets each round as it is over."""
    total = Tally()
    cloud = Cloud(order.database, order.seed, order.kinds, order.tree)
    try:
        cloud.start()
        with _Storm(cloud, order, stopping, told) as storm:
            while not total.findings and total.num_faults < order.num_faults:
                number = order.first_round + total.rounds
                one = storm.round(number)
                if stopping.is_set() and not one.findings:
                    break
                if order.meters and total.num_faults + one.num_faults >= order.num_faults:
                    storm.await_metering(one, number)
                total.add(one)
                round_done(one)
    finally:
        cloud.close(keep=bool(total.findings))
    for kept in total.kept:
        (Path(kept) / "findings.txt").write_text("\n".join(total.findings), encoding="utf-8")
    return total


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

    def round(self, number: int) -> Tally:
        """What it came to; each finding says what is needed to see it again."""
        self.striker.begin(f"round {number}")
        before = len(self.submitter.accepted)
        (self.cloud.evidence / "hurry").unlink(missing_ok=True)
        self.submitter.go_on()
        order = self.order
        self._strike(plan_round(order.seed, number, order.kinds, order.database, order.round_s))
        self.submitter.pause()
        (self.cloud.evidence / "hurry").touch()
        one = Tally(1, 0, self.striker.struck, self.striker.left_out)
        if self._stopping.is_set():
            return one
        began = time.monotonic()
        unrest = self._await_rest()
        if self._stopping.is_set():
            return one
        rest_s = time.monotonic() - began
        one.jobs = len(self.submitter.accepted) - before
        self._note(one, number, self._audit(unrest))
        self.told(
            f"{order.database} seed {order.seed} round {number}: {one.num_faults} faults "
            f"({by_kind(one.struck)}), {one.jobs} jobs, at rest after {rest_s:.0f} s, "
            f"{len(one.findings)} findings"
        )
        return one

    def await_metering(self, one: Tally, number: int) -> None:
        """Notes what is not counted though there was time for it."""
        until, missing = time.monotonic() + METERED_S, ["metered: nothing could be read"]
        while missing and time.monotonic() < until and not self._stopping.is_set():
            time.sleep(0.5)
            self.cloud.tend()
            with suppress(SQLAlchemyError):
                missing = self.books.unmetered()
        last = self.books.findings([(it.key, it.job) for it in self.submitter.accepted])
        self._note(one, number, [*missing[:8], *last])

    def _note(self, one: Tally, number: int, findings: Sequence[str]) -> None:
        where = f"{self.order.database} seed {self.order.seed} round {number}"
        one.findings += [f"{where}: {it}" for it in findings]
        if findings:
            one.kept = [str(self.cloud.kept)]

    def _strike(self, plan: Sequence[Strike]) -> None:
        began, waiting, order = time.monotonic(), list(plan), count()
        actives: list[tuple[float, int, Active]] = []
        while (waiting or actives) and not self._stopping.is_set():
            now_s = time.monotonic() - began
            if waiting and waiting[0].at_s <= now_s:
                strike = waiting.pop(0)
                active = self.striker.inject(strike)
                later = strike.later(AGAIN_S)
                if active is not None:
                    heapq.heappush(actives, (now_s + strike.for_s, next(order), active))
                elif later is not None:
                    insort(waiting, later, key=lambda it: it.at_s)
                else:
                    self.striker.left_out[strike.fault.name] += 1
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
        return [f"{it}, {REST_S:g} s after the last fault" for it in unrest[:8]]

    def _audit(self, unrest: list[str]) -> list[str]:
        time.sleep(evidence.AFTER_END_S + 1.0)  # whoever runs on has left its beats by then
        runs = evidence.read_runs(self.cloud.evidence)
        found = [*unrest, *self.submitter.refusals]
        found += evidence.doubled(runs)
        found += evidence.outlived(runs, dict(self.observer.seen_ended_ns))
        found += unanswered(
            list(self.submitter.tries),
            self.striker.disturbed,
            SERVERS[self.order.database],
            UNANSWERED_S,
        )
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
            for run in evidence.read_runs(self.cloud.evidence)
            if run.epoch == 1
        }
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


def by_kind(faults: Counter[str]) -> str:
    """Counted by kinds, in the order of the table."""
    kinds: Counter[str] = Counter()
    for fault in FAULTS:
        kinds[fault.kind] += faults[fault.name]
    return ", ".join(f"{kind} {count}" for kind, count in kinds.items() if count)
