"""Somebody sets the clock of the server's machine, forth and back, while jobs run."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.e2e.cuttable import Way, a_way_to
from tests.e2e.processes import eventually
from tests.e2e.rig import GRACE_S, ROOT, Cloud, a_cloud
from tests.storm.clock import SteppedClock, a_clock, build
from tests.storm.evidence import doubled, read_runs

longer = pytest.mark.slow_safety

BEAT = ROOT / "tests" / "storm" / "beat.py"
CHIP = "emulated-a100"
HOUR_S = 3600.0
SETTLED_S = 5.0
"""Some ticks, heartbeats and sweeps; longer than the server takes to suspect a node."""


@contextmanager
def stepped(folder: Path) -> Iterator[tuple[Cloud, SteppedClock, Way]]:
    """A cloud with one node, whose server follows a clock that the test sets."""
    library = build(folder)
    if library is None:
        pytest.skip("no C compiler: the clock of a process cannot be set")
    clock = a_clock(library, folder / "clock")
    with a_cloud(start=False) as cloud, a_way_to(cloud.port) as way:
        cloud.start_server(env=clock.env)
        cloud.add_node("n", f"{CHIP}:1", "--no-cpu-chip", via=way.url)
        yield cloud, clock, way


def _submit(cloud: Cloud, evidence: Path) -> None:
    evidence.mkdir()
    cloud.submit(
        name="beats",
        command=[sys.executable, str(BEAT), str(evidence), "300", "plain"],
        resources={"chips": 1, "chip": CHIP},
        disconnect_grace=f"{GRACE_S}s",
    )
    cloud.await_job("beats", "running")


def test_an_hour_forth_and_two_back_disturb_nothing_and_the_lease_ends_as_ever(
    tmp_path: Path,
) -> None:
    evidence = tmp_path / "evidence"
    with stepped(tmp_path) as (cloud, clock, _):
        _submit(cloud, evidence)
        for offset_s in (HOUR_S, -HOUR_S):
            clock.step(offset_s)
            time.sleep(SETTLED_S)
            job = cloud.client.jobs.get("beats")
            assert (job.state, job.attempt) == ("running", 1)
            seen = cloud.client.nodes.get("n").last_heartbeat_at
            assert seen is not None
            assert abs(seen.timestamp() - time.time() - offset_s) < SETTLED_S, "it was stepped"
        (evidence / "hurry").touch()
        assert cloud.await_job("beats", "succeeded").attempt == 1
        (run,) = read_runs(evidence)
        assert run.ended
        eventually(lambda: _free(cloud) == [1000], "its chip is free", 10)
        after = cloud.submit(command=["true"], resources={"chips": 1, "chip": CHIP})
        cloud.await_job(after.name, "succeeded")


@longer
@pytest.mark.parametrize("offset_s", [90.0, HOUR_S, -HOUR_S])
def test_a_step_while_a_node_is_cut_off_lets_no_two_attempts_meet(
    tmp_path: Path, offset_s: float
) -> None:
    evidence = tmp_path / "evidence"
    with stepped(tmp_path) as (cloud, clock, way):
        _submit(cloud, evidence)
        cloud.add_node("spare", f"{CHIP}:1", "--no-cpu-chip")
        way.cut()
        time.sleep(SETTLED_S)
        clock.step(offset_s)
        eventually(lambda: len(read_runs(evidence)) == 2, "it runs on the other node", 90)
        way.heal()
        (evidence / "hurry").touch()
        assert cloud.await_job("beats", "succeeded").attempt == 2
        assert list(doubled(read_runs(evidence))) == []


def _free(cloud: Cloud) -> list[int]:
    return [it.free_milli for it in cloud.client.chips.list()]
