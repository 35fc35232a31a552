"""`penstock up` and `down`, as a stranger types them: what they start, refuse and leave."""

from __future__ import annotations

import fcntl
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from statistics import median

import psutil
import pytest

from penstock.client import routes
from penstock.client.errors import ClientError
from tests.e2e import processes
from tests.e2e.laptop import Laptop, a_laptop
from tests.e2e.processes import eventually

FLEET = "emulated-a100:1,emulated-910b:1"
MIB = 2**20
BACK_S = 15.0
"""Within so long a server that is frozen or killed is replaced and ready."""
BUSY_BACK_S = 30.0
"""The same while other tests run beside."""


@pytest.fixture(scope="module")
def laptop() -> Iterator[Laptop]:
    with a_laptop() as made:
        yield made


def test_a_public_address_without_authentication_is_refused_and_nothing_is_started(
    laptop: Laptop,
) -> None:
    done = laptop.penstock("up", "--host", "0.0.0.0", "--no-auth")
    assert done.returncode != 0
    assert "refusing to listen on 0.0.0.0 without authentication" in done.stderr
    assert not laptop.everything()
    command = [
        sys.executable,
        "-m",
        "control_plane",
        "serve",
        "--home",
        str(laptop.home),
        "--host",
        "0.0.0.0",
        "--no-auth",
    ]
    served = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    assert served.returncode == 2
    assert "refusing to listen on 0.0.0.0 without authentication" in served.stderr


def test_up_starts_a_server_and_a_node_in_little_memory(laptop: Laptop) -> None:
    told = laptop.must("up", "--port", "0", "--emulate", FLEET)
    print(told)
    assert "penstock is up at http://127.0.0.1:" in told
    assert "emulated ones are marked so" in told
    assert "admin token: pst_" in told
    eventually(lambda: len(laptop.everything()) == 3, "server, parent and agent are left", 20)
    used = [it.memory_info().rss / MIB for it in laptop.everything()]
    print(f"resident memory: {sum(used):.0f} MiB, of {[round(it) for it in used]}")
    assert sum(used) < 250
    parent = laptop.record("server")
    assert parent.memory_info().rss < 20 * MIB
    files = {it.path for it in parent.open_files()}
    assert files == {str(laptop.home / "logs" / "server.log")}, "what is held, the server holds"


def test_everything_listens_on_loopback_only(laptop: Laptop) -> None:
    listening = [
        entry.laddr
        for process in laptop.everything()
        for entry in process.net_connections("inet")
        if entry.status == psutil.CONN_LISTEN
    ]
    assert any(f":{it.port}" in laptop.url for it in listening)
    assert {it.ip for it in listening} <= {"127.0.0.1", "::1"}


def test_the_token_and_the_database_are_for_their_owner_only(laptop: Laptop) -> None:
    assert laptop.home.stat().st_mode & 0o077 == 0
    for name in ("admin-token", "agent/credential"):
        assert (laptop.home / name).stat().st_mode & 0o077 == 0, name


def test_up_again_starts_nothing_and_says_so(laptop: Laptop) -> None:
    before = sorted(it.pid for it in laptop.everything())
    told = laptop.must("up", "--emulate", FLEET)
    assert "running already" in told
    assert "pst_" not in told, "the token is shown once"
    assert sorted(it.pid for it in laptop.everything()) == before


def back_s(laptop: Laptop, server: psutil.Process, within_s: float = BACK_S) -> float:
    """Seconds until another server than this one is ready."""
    began = time.monotonic()
    with laptop.client as client:

        def ready() -> bool:
            try:
                client.http.send(routes.probe("/readyz"))
            except ClientError:
                return False
            return laptop.server() != server

        eventually(ready, "another server is ready", within_s)
    return time.monotonic() - began


@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    "tries,within_s", [(1, BUSY_BACK_S), pytest.param(20, BACK_S, marks=pytest.mark.slow_safety)]
)
def test_a_frozen_server_is_replaced_and_its_job_goes_on(
    laptop: Laptop, tries: int, within_s: float
) -> None:
    laptop.must("up", "--port", "0", "--emulate", FLEET)
    name, parent = f"through-{tries}", laptop.record("server")
    laptop.must("job", "submit", "--name", name, "--", "sleep", "1000")
    with laptop.client as client:
        eventually(lambda: client.jobs.get(name).state == "running", "it runs")
        (replica,) = client.jobs.replicas(name)
        running = processes.of_replica(replica.id)
        took_s = []
        for _ in range(tries):
            server = laptop.server()
            server.suspend()
            took_s.append(back_s(laptop, server, within_s))
            job = client.jobs.get(name)
            assert (job.state, job.attempt) == ("running", 1)
            assert processes.of_replica(replica.id) == running
        print(f"frozen to ready: median {median(took_s):.1f} s, most {max(took_s):.1f} s, {took_s}")
        assert laptop.record("server") == parent
        client.jobs.cancel(name)
        client.jobs.wait(name, 60)


@pytest.mark.slow_safety
def test_a_killed_server_is_replaced_and_up_finds_it_running(laptop: Laptop) -> None:
    laptop.must("up", "--port", "0", "--emulate", FLEET)
    server = laptop.server()
    server.kill()
    print(f"killed to ready: {back_s(laptop, server):.1f} s")
    assert "running already" in laptop.must("up")
    told = json.loads(laptop.must("status", "-o", "json"))["server"]
    assert told["pid"] == laptop.record("server").pid
    assert told["memory_bytes"] > laptop.server().memory_info().rss


def test_up_after_a_killed_parent_leaves_the_living_agent_and_its_job_alone(laptop: Laptop) -> None:
    laptop.must("job", "submit", "--name", "steady", "--", "sh", "-c", "sleep 4; echo done")
    with laptop.client as client:
        eventually(lambda: client.jobs.get("steady").state == "running", "it runs")
    agent, url = laptop.record("agent"), laptop.url
    laptop.record("server").kill()
    laptop.must("up")
    assert laptop.url == url
    assert laptop.record("agent") == agent
    with laptop.client as client:
        job = client.jobs.wait("steady", 60)
        assert (job.state, job.exit_code, job.attempt) == ("succeeded", 0, 1)
    assert laptop.must("job", "logs", "-f", "steady") == "done\n"


def test_jobs_that_are_kept_live_through_down_and_up(laptop: Laptop) -> None:
    goes_on = laptop.home / "goes-on"
    waits = f"until [ -e {goes_on} ]; do sleep 0.1; done"
    laptop.must("job", "submit", "--name", "kept", "--", "sh", "-c", waits)
    with laptop.client as client:
        eventually(lambda: client.jobs.get("kept").state == "running", "it runs")
    laptop.must("down", "--keep-jobs")
    assert processes.supervisors(laptop.home), "its supervisor lives on"
    laptop.must("up", "--port", "0", "--emulate", FLEET)
    goes_on.touch()
    with laptop.client as client:
        job = client.jobs.wait("kept", 60)
        assert (job.state, job.attempt) == ("succeeded", 1)


def test_down_leaves_no_process_no_port_no_lock_and_no_cgroup(laptop: Laptop) -> None:
    chip = ("--chips", "emulated-a100:1")
    laptop.must("job", "submit", "--name", "endless", *chip, "--", "sleep", "1000")
    ran = f"echo ran >> {laptop.home}/ran"
    laptop.must("job", "submit", "--name", "waiting", *chip, "--", "sh", "-c", ran)
    with laptop.client as client:
        eventually(lambda: client.jobs.get("endless").state == "running", "it runs")
    port = int(laptop.url.rpartition(":")[2])
    told = laptop.must("down")
    assert "stopped running jobs: endless" in told
    assert not (laptop.home / "ran").exists(), "what waits does not start because others end"
    assert not processes.still_there(laptop.home, within_s=0.5)
    listening = [it for it in psutil.net_connections("inet") if it.status == psutil.CONN_LISTEN]
    assert port not in {it.laddr.port for it in listening if it.laddr}
    assert not processes.cgroups_of([laptop.agent_id])
    assert not list(laptop.home.rglob("*.sock"))
    descriptor = os.open(laptop.home, os.O_RDONLY)
    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    os.close(descriptor)
    assert "nothing is running" in laptop.must("down")


def test_what_waited_is_there_after_the_next_up(laptop: Laptop) -> None:
    laptop.must("up", "--port", "0", "--emulate", FLEET)
    with laptop.client as client:
        ended = client.jobs.get("endless")
        assert ended.state == "cancelled"
        assert "`penstock down` took down the cloud on" in ended.message
        waited = client.jobs.wait("waiting", 60)
        assert (waited.state, waited.attempt) == ("succeeded", 1)
        assert (laptop.home / "ran").read_text() == "ran\n"
        assert {node.intent.state for node in client.nodes.list()} == {"schedulable"}
    laptop.must("down")
