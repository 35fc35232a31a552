"""`make demo` as it is, without the installation: its steps, its own checks, and what it leaves."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from agents.replicas.sockets import agent_id
from tests.e2e import processes
from tests.e2e.rig import ROOT

pytestmark = [pytest.mark.slow, pytest.mark.timeout(420)]


@pytest.fixture(scope="module")
def home() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="penstock-e2e-"))
    yield folder
    processes.end_by_force(processes.of_folder(folder))
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="module")
def told(home: Path) -> str:
    """What the demo printed; it ended with 0."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith("PENSTOCK_")}
    command = [sys.executable, str(ROOT / "deploy/demo/run.py"), "--home", str(home)]
    began = time.monotonic()
    done = subprocess.run(
        command,
        env={**kept, "PYTHONPATH": str(ROOT)},
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=400,
        check=False,
    )
    print(f"the demo took {time.monotonic() - began:.0f} s")
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
    return done.stdout


def test_the_demo_trains_better_than_a_unigram_model_on_two_chip_types(told: str) -> None:
    found = re.search(r"held-out loss on unseen files (\S+), a unigram model's (\S+)", told)
    assert found is not None
    print(found[0])
    assert float(found[1]) < float(found[2])
    assert re.search(r"chips .*emulated-a100.*emulated-910b.*; checkpoint [0-9a-f]{64}", told)


def test_it_streams_from_each_of_two_chip_types_and_says_why_a_job_waits(told: str) -> None:
    at = re.findall(r"POST http://127\.0\.0\.1:\d+/at/(\S+)/v1/completions", told)
    assert len(set(at)) == 2
    assert "too-big: asks for 64 chips of type emulated-a100" in told


def test_emulated_chips_are_marked_so_and_the_real_one_is_not(told: str) -> None:
    rows = [line.split() for line in told.splitlines() if line.startswith("chip_")]
    assert len(rows) >= 6, "five emulated chips and the processor"
    assert {row[4] for row in rows if row[2].startswith("emulated-")} == {"emulated"}
    assert {row[4] for row in rows if row[2].startswith("cpu-")} == {"-"}


def test_it_leaves_nothing_behind(told: str, home: Path) -> None:
    assert told
    assert not processes.still_there(home, within_s=2.0)
    assert not processes.cgroups_of([agent_id(home / "agent")])
