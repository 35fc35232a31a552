"""A replica whose supervisor is frozen, killed or unknown: the agent ends what is overdue.

Each case runs with control groups and without; none of them has a PID namespace.
"""

from __future__ import annotations

import os
import shutil
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from penstock.api.assignments import ExitRecord
from penstock.api.states import ExitReason
from tests.integration.agents.agent_process import Node, a_node
from tests.integration.agents.supervised import is_alive, wait_for

pytestmark = pytest.mark.integration
longer = pytest.mark.slow_safety

FREEZE = "while kill -STOP $PPID; do :; done 2>/dev/null"
STUBBORN = "trap '' TERM; echo > $PENSTOCK_WORK.up; while :; do sleep 0.2; done"
STRAY = Path(__file__).with_name("stray.py")
PLAIN = {"PENSTOCK_AGENT_PID_NAMESPACE": "false"}
Starts = Callable[..., Node]


@pytest.fixture(params=["true", "false"], ids=["groups", "no-groups"])
def start(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Starts]:
    """Starts the agent of one node, as often as it is called."""
    with a_node(tmp_path) as node:
        node.fake.ttl_s, node.fake.margin_s, node.fake.heartbeat_interval_s = 12.0, 5.0, 0.3

        def begin() -> Node:
            variables = {**PLAIN, "PENSTOCK_AGENT_CGROUPS": request.param}
            node.start(PENSTOCK_AGENT_JOIN_TOKEN=node.fake.join_token, **variables)
            return node

        yield begin


def marked(node: Node) -> list[int]:
    """Live processes that were started with this node's replica in their environment."""
    mark = f"PENSTOCK_WORK={node.state_dir}/replicas/replica_1/work.json".encode()
    found = []
    for path in Path("/proc").glob("[0-9]*/environ"):
        try:
            if mark in path.read_bytes().split(b"\0"):
                found.append(int(path.parent.name))
        except OSError:
            continue
    return [pid for pid in found if is_alive(pid)]


def ended_for_good(node: Node, *also: int) -> ExitRecord:
    """The record that was told; at that moment nothing of the replica lives."""
    record: ExitRecord = node.ended("replica_1")
    assert not marked(node)
    assert not [pid for pid in also if is_alive(pid)]
    return record


def up(node: Node) -> None:
    """Waits until the replica is up. Its output would not come: a frozen supervisor reads none."""
    wait_for((node.state_dir / "replicas" / "replica_1" / "work.json.up").exists)


def stray_of(node: Node) -> int:
    """The process that left session, environment, descriptors and parents behind."""
    path = node.state_dir.parent / "stray"
    wait_for(path.exists)
    return int(path.read_text())


def strays(node: Node, then: str) -> str:
    return f"{sys.executable} {STRAY} {node.state_dir.parent / 'stray'} & sleep 0.5; {then}"


def test_a_frozen_supervisor_does_not_keep_a_job_from_being_cancelled(start: Starts) -> None:
    node = start()
    node.run("replica_1", f"({FREEZE}) & {STUBBORN}", stop_grace_s=0.5)
    up(node)
    node.fake.stop("replica_1")
    record = ended_for_good(node)
    assert record.reason is ExitReason.STOPPED
    assert not node.supervisors()


@longer
def test_a_frozen_supervisor_does_not_lengthen_a_jobs_time(start: Starts) -> None:
    node = start()
    began = time.monotonic()
    node.run("replica_1", f"({FREEZE}) & {STUBBORN}", max_duration_s=2.0, stop_grace_s=0.5)
    assert ended_for_good(node).reason is ExitReason.TIMEOUT
    assert time.monotonic() - began < 9


@longer
def test_a_frozen_supervisor_does_not_lengthen_a_lease(start: Starts) -> None:
    node = start()
    node.run("replica_1", f"({FREEZE}) & {STUBBORN}")
    up(node)
    node.fake.away = True
    cut = time.monotonic()
    wait_for(lambda: not marked(node))
    assert time.monotonic() - cut < node.fake.ttl_s
    node.fake.away = False
    assert ended_for_good(node).reason is ExitReason.LEASE_EXPIRED


@longer
def test_a_supervisor_that_was_frozen_once_goes_on_and_tells_the_true_end(start: Starts) -> None:
    node = start()
    node.run("replica_1", "kill -STOP $PPID; echo frozen; exit 7")
    record = ended_for_good(node)
    assert (record.reason, record.code) == (ExitReason.ERROR, 7)
    node.logged("replica_1", b"frozen\n")


@longer
def test_a_restarted_agent_goes_on_watching_a_frozen_supervisor(start: Starts) -> None:
    node = start()
    node.run("replica_1", f"({FREEZE}) & {STUBBORN}", max_duration_s=4.0, stop_grace_s=0.5)
    up(node)
    node.send(signal.SIGKILL)
    time.sleep(1)
    start()
    assert ended_for_good(node).reason is ExitReason.TIMEOUT


@longer
def test_a_restarted_agent_that_is_cut_off_knows_the_renewed_deadline(start: Starts) -> None:
    node = start()
    node.run("replica_1", f"({FREEZE}) & {STUBBORN}")
    up(node)
    time.sleep(3)
    node.send(signal.SIGKILL)
    node.fake.away = True
    cut = time.monotonic()
    node.launch(**PLAIN)
    time.sleep(2)
    assert marked(node)  # its lease, renewed since it began, goes on
    wait_for(lambda: not marked(node))
    assert time.monotonic() - cut < node.fake.ttl_s
    node.fake.away = False
    assert ended_for_good(node).reason is ExitReason.LEASE_EXPIRED


@longer
@pytest.mark.parametrize("number", [signal.SIGSTOP, signal.SIGCONT], ids=["halted", "stubborn"])
def test_a_job_that_halts_itself_or_hears_nothing_is_cancelled(start: Starts, number: int) -> None:
    node = start()
    script = f"trap '' TERM HUP INT; echo > $PENSTOCK_WORK.up; kill -{number} $$; {STUBBORN}"
    node.run("replica_1", script, stop_grace_s=0.5)
    up(node)
    node.fake.stop("replica_1")
    assert ended_for_good(node).reason is ExitReason.STOPPED


@longer
def test_daemons_born_while_the_replica_is_ended_do_not_outlive_it(start: Starts) -> None:
    node = start()
    chain = "import os\nwhile True:\n  if os.fork(): os._exit(0)\n  os.setsid()"
    node.run(
        "replica_1",
        f'({FREEZE}) & {sys.executable} -c "{chain}" & {STUBBORN}',
        max_duration_s=2.0,
        stop_grace_s=0.2,
    )
    assert ended_for_good(node).reason is ExitReason.TIMEOUT
    time.sleep(0.2)
    assert not marked(node)


@longer
def test_a_job_that_kills_its_supervisor_leaves_nothing(start: Starts) -> None:
    node = start()
    node.run("replica_1", strays(node, "kill -KILL $PPID; sleep 100"))
    record = ended_for_good(node, stray_of(node))
    assert record.reason is ExitReason.KILLED


@longer
def test_what_strays_from_a_frozen_supervisor_is_ended_with_the_rest(start: Starts) -> None:
    node = start()
    node.run("replica_1", strays(node, f"({FREEZE}) & {STUBBORN}"), stop_grace_s=0.5)
    stray = stray_of(node)
    up(node)
    node.fake.stop("replica_1")
    assert ended_for_good(node, stray).reason is ExitReason.STOPPED


@longer
def test_a_replica_whose_folder_was_deleted_ends_before_it_is_told_as_ended(start: Starts) -> None:
    node = start()
    node.run("replica_1", strays(node, STUBBORN))
    stray = stray_of(node)
    up(node)
    shutil.rmtree(node.state_dir / "replicas" / "replica_1")
    record = ended_for_good(node, stray)
    assert record.reason is ExitReason.KILLED
    assert not node.supervisors()


@longer
@pytest.mark.parametrize("frozen", [False, True])
def test_a_replica_that_runs_without_its_folder_is_never_started_again(
    start: Starts, frozen: bool
) -> None:
    node = start()
    node.run("replica_1", f"echo $$ >> {node.state_dir.parent}/pids; {STUBBORN}")
    up(node)
    if frozen:
        os.kill(node.started("replica_1")["supervisor_pid"], signal.SIGSTOP)
    node.send(signal.SIGKILL)
    shutil.rmtree(node.state_dir / "replicas" / "replica_1")
    start()
    assert ended_for_good(node).reason is ExitReason.KILLED
    assert len((node.state_dir.parent / "pids").read_text().split()) == 1
