"""Does a gang over chips of speed 2:1 reach the sum of its parts? `python -m tests.bench.mix_dp`.

Four gangs of the same job run in turn, round after round: the fast chip alone, the slow chip
alone, both with measured shares, both with equal shares. Chips are emulated: real processes
under cgroup quotas of 0.5 and 0.25 core, weighted above everything else on the machine so that
a quota is really granted. The measure is tokens per granted CPU-second, quota times wall over
the steady steps, so that waiting for each other costs.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from statistics import median
from typing import Any, Final

from agents.runtimes.process.limits.demand import Demand
from agents.runtimes.process.limits.limiter import Limiter, detect
from penstock.api.ids import ReplicaId
from tests.gang import Seat, running_gang

FAST_MILLI: Final = 500
SLOW_MILLI: Final = 250
FIRST_STEADY_STEP: Final = 10
GROUPS: Final = "penstock"
WEIGHTS: Final = {"cpu.shares": "262144", "cpu.weight": "10000"}
USUAL_WEIGHTS: Final = {"cpu.shares": "1024", "cpu.weight": "100"}
LINK_BYTES_PER_S: Final = {FAST_MILLI: 1e9, SLOW_MILLI: 5e8}


@dataclass(frozen=True, slots=True)
class Case:
    """One gang: the chips it holds and how it shares the batch."""

    key: str
    title: str
    chips_milli: tuple[int, ...]
    shares: str

    @property
    def granted_cores(self) -> float:
        return sum(self.chips_milli) / 1000


CASES: Final = (
    Case("fast", "fast chip alone", (FAST_MILLI,), "equal"),
    Case("slow", "slow chip alone", (SLOW_MILLI,), "equal"),
    Case("measured", "both, shares as measured", (FAST_MILLI, SLOW_MILLI), "measured"),
    Case("equal", "both, equal shares", (FAST_MILLI, SLOW_MILLI), "equal"),
)


@dataclass(frozen=True, slots=True)
class Measured:
    """Speed of one run over its steady steps."""

    tokens_per_s: float
    last_shares: tuple[int, ...]


def main(arguments: Sequence[str]) -> int:
    """Runs all cases in turn and prints a table and one line of JSON."""
    options = _options(arguments)
    limiter = detect(f"bench-{os.getpid()}")
    if limiter.describe()["cpu"].startswith("no cgroup"):
        print("this machine permits no CPU cgroup: speeds cannot be enforced", file=sys.stderr)
        return 2
    runs: dict[str, list[Measured]] = {case.key: [] for case in CASES}
    with tempfile.TemporaryDirectory(prefix="mix-dp-") as folder:
        try:
            for number in range(options.rounds):
                for case in CASES:
                    measured = run_case(case, limiter, Path(folder), number, options)
                    runs[case.key].append(measured)
                    print(
                        f"round {number + 1}: {case.title}: {measured.tokens_per_s:,.0f} tokens/s"
                    )
        finally:
            limiter.leave()
    report(runs, options)
    return 0


def run_case(
    case: Case, limiter: Limiter, folder: Path, number: int, options: argparse.Namespace
) -> Measured:
    """Runs one gang to its end; raises RuntimeError with its logs where a rank fails."""
    names = [f"{case.key}-{rank}" for rank in range(len(case.chips_milli))]
    try:
        seats = [
            _seat(limiter, name, milli) for name, milli in zip(names, case.chips_milli, strict=True)
        ]
        job = folder / f"{case.key}-{number}"
        with running_gang(job, _work(case, options), seats, cache=folder / "cache") as gang:
            if any(gang.wait(timeout_s=600.0)):
                raise RuntimeError(gang.logs())
            return measure(gang.curve())
    finally:
        for name, seat in zip(names, seats, strict=True):
            limiter.clear(ReplicaId(name))
            for cgroup in seat.cgroups:
                _weigh(cgroup.parent, USUAL_WEIGHTS)


def measure(curve: Sequence[Mapping[str, Any]]) -> Measured:
    """Speed from the end of the first steady step to the end of the last step."""
    first, last = curve[FIRST_STEADY_STEP - 1], curve[-1]
    tokens = last["tokens"] - first["tokens"]
    return Measured(tokens / (last["time_s"] - first["time_s"]), tuple(last["shares"]))


def report(runs: Mapping[str, Sequence[Measured]], options: argparse.Namespace) -> None:
    """Medians over rounds, and each mixed gang's part of the sum of fast and slow alone."""
    speed = {key: median(run.tokens_per_s for run in measured) for key, measured in runs.items()}
    parts = speed["fast"] + speed["slow"]
    rows = []
    for case in CASES:
        per_cpu_s = speed[case.key] / case.granted_cores
        ratio = speed[case.key] / parts if len(case.chips_milli) > 1 else None
        rows.append((case, per_cpu_s, ratio))
    allowed = 2 * min(speed["fast"], speed["slow"]) / parts
    print(
        f"\n{'gang':<28}{'cores':>6}{'tokens/s':>11}{'per granted CPU-s':>20}{'of sum':>9}  shares"
    )
    for case, per_cpu_s, ratio in rows:
        of_sum = "" if ratio is None else f"{ratio:.3f}"
        shares = ",".join(map(str, runs[case.key][-1].last_shares))
        print(
            f"{case.title:<28}{case.granted_cores:>6}{speed[case.key]:>11,.0f}"
            f"{per_cpu_s:>20,.0f}{of_sum:>9}  {shares}"
        )
    print(f"equal shares allow twice the slow chip: {allowed:.3f} of the sum")
    document = {
        "bench": "mix-dp",
        "rounds": options.rounds,
        "steps": options.steps,
        "batch_size": options.batch,
        "emulated": True,
        "tokens_per_granted_cpu_s": {case.key: round(value, 1) for case, value, _ in rows},
        "ratio_measured": round(speed["measured"] / parts, 4),
        "ratio_equal": round(speed["equal"] / parts, 4),
        "ratio_equal_allowed": round(allowed, 4),
    }
    print(json.dumps(document))


def _work(case: Case, options: argparse.Namespace) -> dict[str, Any]:
    return {
        "steps": options.steps,
        "batch_size": options.batch,
        "micro_batch": options.micro_batch,
        "checkpoint_every": options.steps,
        "shares": case.shares,
    }


def _seat(limiter: Limiter, name: str, cores_milli: int) -> Seat:
    demand = Demand(ReplicaId(name), cores_milli=cores_milli, memory_bytes=0, hard=True)
    cgroups = tuple(Path(group) for group in limiter.make(demand)["cgroups"])
    for cgroup in cgroups:
        _weigh(cgroup, WEIGHTS)
    return Seat(f"emulated-{cores_milli}", cores_milli, LINK_BYTES_PER_S[cores_milli], cgroups)


def _weigh(cgroup: Path, weights: Mapping[str, str]) -> None:
    """Weighs the group, and those it lies in, against others and the machine's processes."""
    ours = [level for level in (cgroup, *cgroup.parents) if GROUPS in level.parts]
    for level, (name, weight) in product(ours, weights.items()):
        if (level / name).exists():
            (level / name).write_text(weight)


def _options(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="mix_dp", description=__doc__)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--steps", type=int, default=30)
    parser.add_argument("--batch", type=int, default=48)
    parser.add_argument("--micro-batch", type=int, default=4)
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
