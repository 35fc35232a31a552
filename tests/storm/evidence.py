"""What the jobs' own files prove: who ran when, and what of it must not be."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

SECOND_NS = 1_000_000_000
AFTER_END_S = 1.5
"""Between the moment that the audit first saw a job as ended and its last beat."""


@dataclass(frozen=True, slots=True)
class Run:
    """One process of a job, from its first to its last beat on the boot clock."""

    job: str
    replica: str
    epoch: int
    rank: int
    manner: str
    first_ns: int
    last_ns: int
    ended: bool

    @property
    def name(self) -> str:
        return f"{self.replica} (attempt {self.epoch}, rank {self.rank}, {self.manner})"


@dataclass(frozen=True, slots=True)
class Silence:
    """A time in which a node can have heard nothing from any server."""

    node: str
    since_ns: int
    until_ns: int


def read_runs(folder: Path) -> list[Run]:
    """All runs that left at least one beat."""
    return [run for path in sorted(folder.glob("*.run")) if (run := _read(path)) is not None]


def doubled(runs: Iterable[Run]) -> Iterator[str]:
    """Two attempts of one job at once, or one replica started twice."""
    for job, ours in _by(runs, "job").items():
        for replica, same in _by(ours, "replica").items():
            mains = [it for it in same if it.manner != "stray"]
            if len(mains) > 1:
                yield f"doubled: {replica} of {job} was started {len(mains)} times"
        for one in ours:
            for other in ours:
                if one.epoch < other.epoch and (s := _overlap_s(one, other)) > 0:
                    yield f"doubled: {one.name} and {other.name} of {job} ran {s:.1f} s together"


def shared_chips(runs: Iterable[Run], held: Mapping[str, Mapping[str, int]]) -> Iterator[str]:
    """More than a whole chip in use at once. `held`: replica → chip → thousandths."""
    steps: dict[str, list[tuple[int, int, str]]] = defaultdict(list)
    for run in runs:
        for chip, milli in held.get(run.replica, {}).items():
            if run.manner != "stray":
                steps[chip] += [(run.first_ns, milli, run.name), (run.last_ns, -milli, run.name)]
    for chip, changes in steps.items():
        used = 0
        for _, milli, name in sorted(changes):
            used += milli
            if used > 1000:
                yield f"shared: chip {chip} was used by {used} thousandths from {name} on"
                break


def outlived(runs: Iterable[Run], seen_ended_ns: Mapping[str, int]) -> Iterator[str]:
    """Processes that ran on after the job was seen as ended."""
    for run in runs:
        seen = seen_ended_ns.get(run.job)
        if seen is not None and run.last_ns > seen + AFTER_END_S * SECOND_NS:
            over_s = (run.last_ns - seen) / SECOND_NS
            yield f"outlived: {run.name} of {run.job} ran {over_s:.1f} s after the job's end"


def past_deadline(
    runs: Iterable[Run], node_of: Mapping[str, str], silences: Sequence[Silence], ttl_s: float
) -> Iterator[str]:
    """Replicas that ran on although their node had heard nothing for a whole lease."""
    for run in runs:
        for silence in silences:
            due_ns = silence.since_ns + int(ttl_s * SECOND_NS)
            if (
                node_of.get(run.replica) == silence.node
                and run.first_ns < silence.since_ns
                and due_ns < min(run.last_ns, silence.until_ns)
            ):
                over_s = (min(run.last_ns, silence.until_ns) - due_ns) / SECOND_NS
                yield f"past its deadline: {run.name} of {run.job} by {over_s:.1f} s"


def _read(path: Path) -> Run | None:
    lines = path.read_text(encoding="utf-8").splitlines()
    beats = [int(line) for line in lines[1:] if line.isdigit()]
    if not beats:
        return None
    job, replica, epoch, rank, manner = lines[0].split()
    ended = lines[-1] == "end"
    return Run(job, replica, int(epoch), int(rank), manner, beats[0], beats[-1], ended)


def _by(runs: Iterable[Run], field: str) -> dict[str, list[Run]]:
    found: dict[str, list[Run]] = defaultdict(list)
    for run in runs:
        found[getattr(run, field)].append(run)
    return found


def _overlap_s(one: Run, other: Run) -> float:
    together = min(one.last_ns, other.last_ns) - max(one.first_ns, other.first_ns)
    return together / SECOND_NS
