"""`python -m tests.storm`: storms over seeds and both databases, continued where they were left."""

from __future__ import annotations

import argparse
import json
import signal
import sys
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from tests.storm.cloud import ROOT
from tests.storm.hole import hole
from tests.storm.plan import KINDS
from tests.storm.storm import ROUND_S, Order, Report, run_storm

DATABASES: Final = ("sqlite", "postgresql")


@dataclass(slots=True)
class Progress:
    """Rounds done and faults so far of each storm, in a file that outlives an interruption."""

    path: Path
    asked: dict[str, object]
    done: dict[str, dict[str, int]] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @classmethod
    def read(cls, path: Path, asked: dict[str, object]) -> Progress:
        """What an interrupted run of the same wish left; else nothing."""
        made = cls(path, asked)
        if path.exists():
            kept = json.loads(path.read_text(encoding="utf-8"))
            if kept["asked"] == json.loads(json.dumps(asked)):
                made.done = kept["done"]
        return made

    def faults(self, name: str) -> int:
        return self.done.get(name, {}).get("faults", 0)

    def add(self, name: str, number: int, faults: int, jobs: int) -> None:
        with self._lock:
            self.done[name] = {"round": number + 1, "faults": faults, "jobs": jobs}
            self.path.parent.mkdir(parents=True, exist_ok=True)
            text = json.dumps({"asked": self.asked, "done": self.done}, indent=1)
            self.path.write_text(text, encoding="utf-8")


def main(argv: Sequence[str]) -> int:
    """0: all faults done and nothing found. 1: findings. 3: interrupted, to be continued."""
    options = _options(argv)
    if options.hole is not None:
        return _find(options)
    return _storms(options)


def _find(options: argparse.Namespace) -> int:
    """0 where storms of its kinds find the hole, 1 where they do not."""
    wanted = hole(options.hole)
    with TemporaryDirectory(prefix="storm-hole-") as folder:
        options.tree = wanted.tree(Path(folder) / "tree")
        options.folder = Path(folder)
        options.kinds, options.faults = wanted.head("kinds"), min(options.faults, 200)
        options.databases = wanted.head("databases") or DATABASES[:1]
        code = _storms(options)
    _say(f"hole {wanted.name}: {'found' if code == 1 else 'NOT found'}")
    return 0 if code == 1 else 1


def _storms(options: argparse.Namespace) -> int:
    asked = {"seeds": options.seeds, "faults": options.faults, "kinds": options.kinds,
             "databases": options.databases, "round_s": options.round_s}  # fmt: skip
    progress = Progress.read(options.folder / "progress.json", asked)
    stopping = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stopping.set())
    began = time.monotonic()
    with ThreadPoolExecutor(len(options.databases)) as pool:
        lanes = [
            pool.submit(_lane, database, options, progress, stopping)
            for database in options.databases
        ]
        reports = [report for lane in lanes for report in lane.result()]
    return _tell(reports, progress, time.monotonic() - began, stopping.is_set())


def _lane(
    database: str, options: argparse.Namespace, progress: Progress, stopping: threading.Event
) -> list[Report]:
    """All seeds on one database, one after the other, until one has findings."""
    reports: list[Report] = []
    each = -(-options.faults // (len(options.seeds) * len(options.databases)))
    for seed in options.seeds:
        name = f"{database}:{seed}"
        before, first = progress.faults(name), progress.done.get(name, {}).get("round", 0)
        if before >= each or stopping.is_set():
            continue
        order = Order(
            seed, database, options.kinds, each - before, first, options.round_s, options.tree
        )
        report = run_storm(order, stopping, _say, partial(_add, progress, name, before))
        reports.append(report)
        if report.findings:
            stopping.set()
    return reports


def _add(progress: Progress, name: str, before: int, number: int, faults: int, jobs: int) -> None:
    progress.add(name, number, before + faults, jobs)


def _tell(reports: list[Report], progress: Progress, took_s: float, stopped: bool) -> int:
    found = [report for report in reports if report.findings]
    for report in found:
        _say(f"FOUND after {report.num_faults} faults and {report.num_jobs} jobs:")
        for line in report.findings[:20]:
            _say(f"  {line}")
        order = report.order
        _say(f"  kept: {report.kept}")
        _say(f"  again: make storm SEEDS={order.seed} DATABASES={order.database} "
             f"KINDS={','.join(order.kinds)} FAULTS={report.num_faults}")  # fmt: skip
    faults = sum(it.num_faults for it in reports)
    jobs = sum(it.num_jobs for it in reports)
    total = sum(progress.faults(name) for name in progress.done)
    num_found = sum(len(it.findings) for it in reports)
    took = f"{faults} faults, {jobs} jobs in {took_s / 60:.1f} min"
    _say(f"{took}; {total} faults in finished rounds; {num_found} findings")
    return 1 if found else 3 if stopped else 0


def _options(argv: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.storm", description=__doc__)
    parser.add_argument("--seeds", type=_numbers, default=[1], help="1,2 or 1-8")
    parser.add_argument("--faults", type=int, default=100, help="in all, over seeds and databases")
    parser.add_argument("--kinds", type=_kinds, default=KINDS, help=",".join(KINDS))
    parser.add_argument("--databases", type=_databases, default=DATABASES)
    parser.add_argument("--round-s", type=float, default=ROUND_S, help="faults begin within it")
    parser.add_argument("--folder", type=Path, default=ROOT / ".storm", help="keeps the progress")
    parser.add_argument("--hole", help="look for this one instead, on a copy of the code")
    parser.add_argument("--tree", type=Path, default=ROOT, help="code of servers and agents")
    return parser.parse_args(argv)


def _numbers(text: str) -> list[int]:
    found: list[int] = []
    for part in text.split(","):
        first, _, last = part.partition("-")
        found += range(int(first), int(last or first) + 1)
    return found


def _kinds(text: str) -> tuple[str, ...]:
    return _known(text, KINDS)


def _databases(text: str) -> tuple[str, ...]:
    return _known(text, DATABASES)


def _known(text: str, names: Sequence[str]) -> tuple[str, ...]:
    wanted = tuple(filter(None, text.split(",")))
    unknown = [it for it in wanted if it not in names]
    if unknown or not wanted:
        raise argparse.ArgumentTypeError(f"there are {', '.join(names)}")
    return wanted


def _say(line: str) -> None:
    print(line, flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
