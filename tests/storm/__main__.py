"""`python -m tests.storm`: storms over seeds and both databases, continued where they were left."""

from __future__ import annotations

import argparse
import json
import signal
import sys
import threading
import time
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, fields
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

from tests.storm.cloud import ROOT
from tests.storm.hole import hole
from tests.storm.plan import FAULTS, KINDS
from tests.storm.storm import ROUND_S, Order, Tally, run_storm

DATABASES: Final = ("sqlite", "postgresql")
LOST: Final = ("lost",)
DOUBLED: Final = ("doubled", "shared", "leases overlap")


@dataclass(slots=True)
class Progress:
    """What each storm came to so far, in a file that outlives an interruption."""

    path: Path
    asked: dict[str, object]
    each: int
    done: dict[str, Tally]
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @classmethod
    def read(
        cls, path: Path, asked: dict[str, object], each: int, names: Sequence[str]
    ) -> Progress:
        """What an interrupted run of the same wish left; else nothing."""
        made = cls(path, asked, each, {name: Tally() for name in names})
        if path.exists():
            kept = json.loads(path.read_text(encoding="utf-8"))
            if kept["asked"] == json.loads(json.dumps(asked)) and not kept["over"]:
                made.done = {name: _tally(it) for name, it in kept["done"].items()}
        return made

    def of(self, name: str) -> Tally:
        return self.done[name]

    def is_over(self, name: str) -> bool:
        return self.of(name).num_faults >= self.each or bool(self.of(name).findings)

    def add(self, name: str, one: Tally) -> None:
        with self._lock:
            self.of(name).add(one)
            self._write(over=False)

    def end(self) -> None:
        """The next run of the same wish begins anew."""
        self._write(over=True)

    def _write(self, over: bool) -> None:
        done = {
            name: {part.name: getattr(it, part.name) for part in fields(Tally)}
            for name, it in self.done.items()
        }
        text = json.dumps({"asked": self.asked, "over": over, "done": done}, indent=1)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        part = self.path.with_suffix(".part")
        part.write_text(text, encoding="utf-8")
        part.replace(self.path)


def _tally(kept: dict[str, Any]) -> Tally:
    counted = {name: Counter(kept[name]) for name in ("struck", "left_out")}
    return Tally(**{**kept, **counted})


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
    each = -(-options.faults // (len(options.seeds) * len(options.databases)))
    names = [f"{database}:{seed}" for database in options.databases for seed in options.seeds]
    progress = Progress.read(options.folder / "progress.json", asked, each, names)
    stopping = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stopping.set())
    began = time.monotonic()
    with ThreadPoolExecutor(len(options.databases)) as pool:
        lanes = [
            pool.submit(_lane, database, options, progress, stopping)
            for database in options.databases
        ]
        for lane in lanes:
            lane.result()
    found = any(it.findings for it in progress.done.values())
    is_left = stopping.is_set() and options.hole is None
    if not is_left:
        progress.end()
    _tell(options, progress, time.monotonic() - began)
    return 3 if is_left else int(found)


def _lane(
    database: str, options: argparse.Namespace, progress: Progress, stopping: threading.Event
) -> None:
    """All seeds on one database, one after the other; looking for a hole, until it is found."""
    for seed in options.seeds:
        name = f"{database}:{seed}"
        if stopping.is_set() or progress.is_over(name):
            continue
        so_far = progress.of(name)
        left = progress.each - so_far.num_faults
        order = Order(
            seed,
            database,
            options.kinds,
            left,
            so_far.rounds,
            options.round_s,
            options.tree,
            meters=options.hole is None,
        )
        total = run_storm(order, stopping, _say, partial(progress.add, name))
        for line in total.findings[:20]:
            _say(f"  FOUND {line}")
        if total.findings and options.hole is not None:
            stopping.set()


def _tell(options: argparse.Namespace, progress: Progress, took_s: float) -> None:
    """Per database and kind, over all rounds done, those before an interruption too."""
    for database in options.databases:
        total = Tally()
        for seed in options.seeds:
            total.add(progress.of(f"{database}:{seed}"))
        lost, doubled = total.num_found(*LOST), total.num_found(*DOUBLED)
        others = len(total.findings) - lost - doubled
        _say(
            f"{database}, seeds {','.join(map(str, options.seeds))}: {total.rounds} rounds, "
            f"{total.num_faults} faults, {total.jobs} jobs: {lost} lost, {doubled} doubled, "
            f"{others} other findings"
        )
        for kind in options.kinds:
            ours = [it.name for it in FAULTS if it.kind == kind]
            struck = {it: total.struck[it] for it in ours if total.struck[it]}
            told = ", ".join(f"{it} {count}" for it, count in struck.items()) or "none"
            left_out = sum(total.left_out[it] for it in ours)
            _say(
                f"  {kind:10} {sum(struck.values()):5}  {told}; {left_out} found nothing to strike"
            )
        for kept in total.kept:
            _say(f"  kept: {kept}")
    faults = sum(it.num_faults for it in progress.done.values())
    _say(f"{faults} faults in all; this run took {took_s / 60:.1f} min")


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
