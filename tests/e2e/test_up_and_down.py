"""`penstock up` and `down` as their user runs them: real processes in a home of their own."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.e2e import processes
from tests.e2e.rig import PENSTOCK, ROOT


@dataclass
class LocalCloud:
    """The command against one home; `port` is asked for so that tests may run side by side."""

    home: Path
    port: int = field(default_factory=processes.free_port)

    def run(self, *arguments: str, timeout_s: float = 90) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*PENSTOCK, *arguments], env=self.env(), cwd=self.home.parent, capture_output=True,
            text=True, timeout=timeout_s, check=False,
        )  # fmt: skip

    def ok(self, *arguments: str) -> str:
        done = self.run(*arguments)
        assert done.returncode == 0, f"{arguments}: {done.stdout}{done.stderr}"
        return done.stdout

    def up(self, *arguments: str) -> str:
        return self.ok("up", "--port", str(self.port), "--emulate", "none", *arguments)

    def start(self, *arguments: str) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [*PENSTOCK, *arguments], env=self.env(), stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )

    def env(self) -> dict[str, str]:
        kept = {name: text for name, text in os.environ.items() if not name.startswith("PENSTOCK_")}
        return {**kept, "PENSTOCK_HOME": str(self.home), "PYTHONPATH": str(ROOT)}

    def record(self, name: str) -> dict[str, Any]:
        document: dict[str, Any] = json.loads((self.home / f"{name}.json").read_text())
        return document

    def job(self, ref: str) -> dict[str, Any]:
        document: dict[str, Any] = json.loads(self.ok("job", "get", ref, "-o", "json"))
        return document

    def left(self) -> list[str]:
        found = processes.still_there(self.home, within_s=5)
        return [" ".join(it.cmdline()) for it in found if it.is_running()]


@pytest.fixture
def cloud() -> Iterator[LocalCloud]:
    folder = Path(tempfile.mkdtemp(prefix="penstock-up-"))  # short: a socket lies in it
    one = LocalCloud(folder / "home")
    try:
        yield one
    finally:
        one.run("down")
        processes.end_by_force(processes.of_folder(folder))
        shutil.rmtree(folder, ignore_errors=True)


def test_a_cloud_comes_up_runs_a_job_and_leaves_nothing_behind(cloud: LocalCloud) -> None:
    said = cloud.up()
    token = (cloud.home / "admin-token").read_text().strip()
    assert f"http://127.0.0.1:{cloud.port}" in said
    assert f"admin token: {token}" in said
    assert _listening(cloud.record("server")["pid"]) == {("127.0.0.1", cloud.port)}
    for name in ("admin-token", "config.json", "server.json", "agent/credential"):
        assert (cloud.home / name).stat().st_mode & 0o077 == 0, name

    again = cloud.up()
    assert "running already" in again
    assert token not in again

    done = cloud.run("job", "submit", "--follow", "--", "echo", "hello")
    assert (done.returncode, done.stdout) == (0, "hello\n")
    assert cloud.run("job", "submit", "--follow", "--exit-status", "--", "false").returncode == 1
    assert "reachable: yes" in cloud.ok("status")
    assert cloud.run("doctor").returncode == 0

    cloud.ok("job", "submit", "--name", "long", "--", "sleep", "300")
    processes.eventually(lambda: cloud.job("long")["state"] == "running", "long runs")
    told = cloud.ok("down")
    assert "stopped running jobs: long" in told
    assert cloud.left() == []
    with socket.socket() as one:
        assert one.connect_ex(("127.0.0.1", cloud.port)) != 0
    assert "nothing is running" in cloud.ok("down")
    assert cloud.run("job", "list").returncode == 5


def test_a_killed_server_comes_back_under_the_running_job(cloud: LocalCloud) -> None:
    cloud.up()
    agent = cloud.record("agent")
    script = "for n in 1 2 3 4 5 6 7 8; do echo line $n; sleep 1; done"
    cloud.ok("job", "submit", "--name", "counter", "--", "sh", "-c", script)
    follower = cloud.start("job", "logs", "-f", "counter")
    processes.eventually(lambda: "line 2" in cloud.ok("job", "logs", "counter"), "it counts")

    os.kill(cloud.record("server")["pid"], signal.SIGKILL)
    processes.eventually(lambda: cloud.run("status").returncode == 5, "the server is gone")
    assert "penstock is up" in cloud.up()

    assert cloud.record("agent") == agent
    output, errors = follower.communicate(timeout=60)
    assert (follower.returncode, errors) == (0, b"")
    assert output.decode().splitlines() == [f"line {n}" for n in range(1, 9)]
    cloud.ok("job", "wait", "counter")
    assert cloud.job("counter")["attempt"] == 1


def test_jobs_may_be_kept_and_are_taken_up_again(cloud: LocalCloud) -> None:
    cloud.up()
    cloud.ok("job", "submit", "--name", "kept", "--", "sleep", "20")
    processes.eventually(lambda: cloud.job("kept")["state"] == "running", "kept runs")
    cloud.ok("down", "--keep-jobs")
    assert len(processes.supervisors(cloud.home)) == 1
    cloud.up()
    cloud.ok("job", "wait", "kept")
    assert cloud.job("kept")["attempt"] == 1


def test_a_job_that_waits_is_still_there_after_down_and_up(cloud: LocalCloud) -> None:
    cloud.up()
    cloud.ok("job", "submit", "--name", "waiting", "--chips", "cpu:64", "--", "true")
    cloud.ok("down")
    cloud.up()
    assert cloud.job("waiting")["state"] == "queued"


def test_a_port_that_was_asked_for_and_is_taken_is_told(cloud: LocalCloud) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", cloud.port))
        other.listen()
        done = cloud.run("up", "--port", str(cloud.port))
    assert done.returncode == 1
    assert "[port_taken]" in done.stderr
    assert cloud.left() == []


def test_the_foreground_ends_with_everything_stopped(cloud: LocalCloud) -> None:
    front = cloud.start("up", "--foreground", "--port", str(cloud.port), "--emulate", "none")
    processes.eventually(lambda: (cloud.home / "agent.json").exists(), "the agent is started", 60)
    processes.eventually(lambda: cloud.run("job", "list").returncode == 0, "it is up", 60)
    time.sleep(1)
    front.terminate()
    front.communicate(timeout=60)
    assert front.returncode == 0
    assert cloud.left() == []


def _listening(pid: int) -> set[tuple[str, int]]:
    connections = psutil.Process(pid).net_connections(kind="inet")
    return {(it.laddr.ip, it.laddr.port) for it in connections if it.status == psutil.CONN_LISTEN}
