"""How long the command takes from its start to its end. `make bench BENCH=cli-start`.

Measures real processes: `--help` in several places, and `job list` against a server on loopback in
this process. Prints one JSON object a line, times in milliseconds; `bare` is an
interpreter that does nothing, as the floor of the machine at that moment.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Final

from tests.fakes.cloud import Clouds, Network
from tests.fakes.cluster import a_task
from tests.integration.conftest import serving

ROOT: Final = Path(__file__).parents[2]
MAIN: Final = "from penstock.cli.main import main; main()"
CASES: Final[Mapping[str, Sequence[str]]] = {
    "--help": ["--help"],
    "job --help": ["job", "--help"],
    "job submit --help": ["job", "submit", "--help"],
    "job list": ["job", "list"],
    "job list -o json": ["job", "list", "-o", "json"],
    "job submit": ["job", "submit", "--", "echo", "hello"],
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=10)
    rounds = parser.parse_args().rounds
    network = Network()
    with TemporaryDirectory() as folder, Clouds(Path(folder)).one() as cloud:
        for number in range(100):
            cloud.cluster.submit(a_task(f"job-{number}"))
        network.lead_to(cloud)
        with serving(network) as url:
            _measure({"PENSTOCK_SERVER": url, "PENSTOCK_TOKEN": cloud.admin}, rounds)
    return 0


def _measure(cloud: Mapping[str, str], rounds: int) -> None:
    env = {**os.environ, **cloud, "PYTHONPATH": str(ROOT), "PENSTOCK_HOME": "/nonexistent"}
    _report("bare", [_wall_ms(["-c", "pass"], env) for _ in range(rounds)])
    for name, arguments in CASES.items():
        command = ["-c", MAIN, *arguments]
        _wall_ms(command, env)  # compiles what is not compiled yet
        _report(name, [_wall_ms(command, env) for _ in range(rounds)])


def _wall_ms(arguments: Sequence[str], env: Mapping[str, str]) -> float:
    """Waits without a timeout: with one, Python polls, up to 50 ms apart, and rounds times up."""
    command = [sys.executable, *arguments]
    started = time.perf_counter()
    with subprocess.Popen(
        command, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as child:
        code = child.wait()
    took_ms = (time.perf_counter() - started) * 1000
    if code != 0:
        raise subprocess.CalledProcessError(code, command)
    return took_ms


def _report(case: str, times_ms: Sequence[float]) -> None:
    line = {
        "case": case, "median_ms": round(median(times_ms), 1), "least_ms": round(min(times_ms), 1),
        "most_ms": round(max(times_ms), 1), "rounds": len(times_ms), "cpus": os.cpu_count(),
        "load": round(os.getloadavg()[0], 1), "python": platform.python_version(),
    }  # fmt: skip
    print(json.dumps(line), flush=True)


if __name__ == "__main__":
    sys.exit(main())
