"""A full disk is told as one, costs nothing that was accepted, and leaves by itself."""

from __future__ import annotations

import shutil
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from penstock.api.jobs import Job
from penstock.client.errors import ApiError, ClientError
from tests.e2e.processes import eventually
from tests.e2e.rig import QUICK, Cloud, a_cloud
from tests.storm.disk import Disk, may_mount

pytestmark = pytest.mark.skipif(not may_mount(), reason="only root may mount a small disk")
longer = pytest.mark.slow_safety

FULL_S = 6.0
"""Longer than a leader's term, so that a leader that cannot renew it loses it."""
BACK_S = 15.0
NODE = "n"
COUNTING = """
import os, sys, time
number = 0
while not os.path.exists(sys.argv[1]):
    print("line", number, flush=True)
    number += 1
    time.sleep(0.05)
print("last", number, flush=True)
"""


@contextmanager
def full_at(folder: str) -> Iterator[tuple[Cloud, Disk]]:
    """A cloud with one node; the folder of its home is a small disk of its own."""
    with a_cloud(start=False) as cloud:
        disk = Disk(cloud.home / folder, "48m")
        try:
            database = cloud.home / "db" / "penstock.db"
            database.parent.mkdir(exist_ok=True)
            cloud.settings = {**QUICK, "PENSTOCK_SERVER_DATABASE_URL": f"sqlite:///{database}"}
            cloud.start_server()
            cloud.add_node(NODE, "emulated-a100:2", "--no-cpu-chip")
            yield cloud, disk
        finally:
            disk.free()
            try:
                cloud.close()
            finally:
                disk.close()
                shutil.rmtree(cloud.home / folder, ignore_errors=True)


def counting(cloud: Cloud, end: Path) -> Job:
    job = cloud.submit(task={"command": [sys.executable, "-c", COUNTING, str(end)]})
    return cloud.await_job(job.id, "running")


def goes_on(cloud: Cloud, job: Job, end: Path) -> None:
    """Within BACK_S of now: submits are taken and run, and the job ends as it is with its log."""
    began = time.monotonic()

    def submitted() -> Job | None:
        try:
            return cloud.submit(command=["true"])
        except ClientError:
            return None

    another = eventually(submitted, "a submit is taken", BACK_S)
    cloud.await_job(another.id, "succeeded", within_s=BACK_S)
    assert time.monotonic() - began < BACK_S
    end.touch()
    assert cloud.await_job(job.id, "succeeded", within_s=BACK_S).attempt == 1
    *lines, last = cloud.whole_log(job.id)
    assert lines == [f"line {number}" for number in range(len(lines))]
    assert last == f"last {len(lines)}"


@pytest.mark.parametrize(
    "folder",
    [
        pytest.param(".", id="home"),
        pytest.param("logs", marks=longer),
        pytest.param("db", marks=longer),
        pytest.param("storage", marks=longer),
        pytest.param(NODE, id="agent", marks=longer),
    ],
)
def test_a_disk_that_was_full_costs_nothing_once_it_has_room(folder: str, tmp_path: Path) -> None:
    end = tmp_path / "end"
    with full_at(folder) as (cloud, disk):
        job = counting(cloud, end)
        disk.fill()
        until = time.monotonic() + FULL_S
        refusals: list[str] = []
        while time.monotonic() < until:
            try:
                cloud.submit(command=["true"])
            except ApiError as error:
                refusals.append(str(error.document["code"]))
            time.sleep(1.0)
        assert set(refusals) <= {"database_disk"}
        assert bool(refusals) is (folder in (".", "db"))
        disk.free()
        goes_on(cloud, job, end)
