"""What a stranger waits for: a cloud, its memory, a first job, a hundred jobs, the help text.

    python -m tests.bench.first_minutes --rounds 5

A real cloud in a temporary home, with the usual settings. Prints one JSON object per figure,
then a table beside the bounds that were set for a quiet machine of two cores.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Final

import psutil

from penstock.client import routes
from penstock.client.errors import ClientError
from penstock.client.synchronous import Client
from tests.e2e.processes import eventually, free_port, of_folder

PENSTOCK: Final = str(Path(sys.executable).with_name("penstock"))
FLEET: Final = "emulated-a100:2,emulated-910b:2"
NUM_JOBS: Final = 100
MIB: Final = 2**20


@dataclass(frozen=True, slots=True)
class Figure:
    """One measured figure: the median of its rounds, their worst, and the bound."""

    name: str
    value: float
    worst: float
    unit: str
    bound: float
    rounds: int

    @property
    def verdict(self) -> str:
        return "within" if self.value <= self.bound else "OVER"


class Laptop:
    """A home folder, the command against it, and a client once it is up."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.port = free_port()

    def penstock(self, *arguments: str) -> str:
        kept = {key: value for key, value in os.environ.items() if not key.startswith("PENSTOCK_")}
        command = [PENSTOCK, "--home", str(self.home), *arguments]
        done = subprocess.run(command, env=kept, capture_output=True, text=True, check=True)
        return done.stdout

    def client(self) -> Client:
        token = (self.home / "admin-token").read_text(encoding="utf-8").strip()
        return Client(f"http://127.0.0.1:{self.port}", token)


def figures(laptop: Laptop, rounds: int) -> Iterator[Figure]:
    """All figures, in the order in which a stranger meets them."""
    yield _figure("help text", "s", 0.2, [_timed(_help) for _ in range(2 * rounds)])
    ready_s, up_s = _up(laptop)
    yield _figure("up: API ready", "s", 3, [ready_s])
    yield _figure("up: command done, node ready", "s", 60, [up_s])
    yield _figure("idle resident memory", "MiB", 250, [_idle_memory_mib(laptop)])
    with laptop.client() as client:
        starts = [_to_process_s(client) for _ in range(rounds)]
        yield _figure("submission to running", "s", 0.5, starts)
        follows = [_timed(lambda: _follow(laptop)) for _ in range(rounds)]
        yield _figure("submit --follow, in all", "s", 2, follows)
        yield _figure(f"{NUM_JOBS} jobs of one client", "s", 10, [_hundred_s(client)])
    yield _figure("down", "s", 20, [_timed(lambda: laptop.penstock("down"))])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    rounds: int = parser.parse_args().rounds
    home = Path(tempfile.mkdtemp(prefix="penstock-bench-"))
    laptop = Laptop(home)
    found: list[Figure] = []
    try:
        for figure in figures(laptop, rounds):
            print(json.dumps(asdict(figure)), flush=True)
            found.append(figure)
    finally:
        laptop.penstock("down")
        shutil.rmtree(home, ignore_errors=True)
    _print_table(found)
    return 0


def _up(laptop: Laptop) -> tuple[float, float]:
    """Seconds until the API was ready, and until the command had ended."""
    began = time.monotonic()
    command = [
        PENSTOCK,
        "--home",
        str(laptop.home),
        "up",
        "--port",
        str(laptop.port),
        "--emulate",
        FLEET,
    ]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as child:
        with Client(f"http://127.0.0.1:{laptop.port}") as probing:
            eventually(lambda: _is_ready(probing), "the API is ready", 60, every_s=0.02)
        ready_s = time.monotonic() - began
        child.wait(60)
    assert child.returncode == 0
    return ready_s, time.monotonic() - began


def _is_ready(probing: Client) -> bool:
    try:
        probing.http.send(routes.probe("/readyz"))
    except ClientError:
        return False
    return True


def _idle_memory_mib(laptop: Laptop) -> float:
    """Over all processes of the cloud, once the measurement of the processors has ended."""
    eventually(lambda: len(of_folder(laptop.home)) == 3, "server and agent alone are left", 30)
    time.sleep(5)
    return sum(psutil.Process.memory_info(it).rss for it in of_folder(laptop.home)) / MIB


def _to_process_s(client: Client) -> float:
    """From before the submission to the first instruction of the job's own process."""
    began = time.time()
    job = client.jobs.submit({"type": "task", "task": {"command": ["date", "+%s.%N"]}})
    client.jobs.wait(job.id, 60, poll_s=0.05)
    return float(client.jobs.log_text(job.id)) - began


def _follow(laptop: Laptop) -> None:
    told = laptop.penstock("job", "submit", "--follow", "--", "echo", "hello")
    assert told == "hello\n", told


def _hundred_s(client: Client) -> float:
    """From the first submission until all are seen to have succeeded."""
    began = time.monotonic()
    spec = {"type": "task", "task": {"command": ["true"]}, "labels": {"bench": "hundred"}}
    jobs = {client.jobs.submit(spec).id for _ in range(NUM_JOBS)}

    def over() -> bool:
        done = client.jobs.list(label="bench=hundred", state="succeeded", limit=500)
        return jobs == {job.id for job in done}

    eventually(over, f"{NUM_JOBS} jobs succeeded", 120, every_s=0.2)
    took_s = time.monotonic() - began
    assert {client.jobs.get(job).exit_code for job in jobs} == {0}
    return took_s


def _help() -> None:
    subprocess.run([PENSTOCK, "--help"], stdout=subprocess.DEVNULL, check=True)


def _timed(work: Callable[[], object]) -> float:
    began = time.monotonic()
    work()
    return time.monotonic() - began


def _figure(name: str, unit: str, bound: float, rounds: list[float]) -> Figure:
    middle, worst = round(median(rounds), 3), round(max(rounds), 3)
    return Figure(name, middle, worst, unit, bound, len(rounds))


def _print_table(found: list[Figure]) -> None:
    print(f"\n{'':<30}{'median':>10}{'worst':>10}{'bound':>10}  unit")
    for it in found:
        row = f"{it.name:<30}{it.value:>10.2f}{it.worst:>10.2f}{it.bound:>10.2f}"
        print(f"{row}  {it.unit:<4} {it.verdict}")


if __name__ == "__main__":
    sys.exit(main())
