"""A real agent under faults: killed, restarted, cut off, refused. No replica suffers or runs on."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from penstock.api.states import ExitReason, ReplicaState
from tests.integration.agents.agent_process import ROOT, Node, a_node
from tests.integration.agents.supervised import is_alive, wait_for

pytestmark = pytest.mark.integration

COUNT = "n=0; while [ $n -lt {to} ]; do n=$((n+1)); echo $n; sleep 0.005; done"


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Node]:
    with a_node(tmp_path) as made:
        yield made


@pytest.fixture
def joined(node: Node) -> Node:
    node.start("--emulate", "emulated-a100:2", PENSTOCK_AGENT_JOIN_TOKEN=node.fake.join_token)
    return node


def counted(to: int) -> bytes:
    return b"".join(b"%d\n" % n for n in range(1, to + 1))


def test_a_node_joins_with_its_chips_and_keeps_its_credential_to_itself(joined: Node) -> None:
    inventory = joined.fake.inventory
    assert inventory is not None
    assert [chip.type for chip in inventory.chips] == ["emulated-a100", "emulated-a100"]
    assert inventory.cores_milli >= 1000
    assert set(inventory.limits) >= {"cpu", "memory", "link"}
    assert (joined.state_dir / "credential").stat().st_mode & 0o077 == 0
    assert joined.fake.credential not in joined.said()


@pytest.mark.parametrize("way", ["variable", "option", "file"])
def test_a_join_token_is_nowhere_to_be_read_once_the_node_has_joined(node: Node, way: str) -> None:
    token, file = node.fake.join_token, node.state_dir.parent / "token"
    if way == "variable":
        node.start(PENSTOCK_AGENT_JOIN_TOKEN=token)
    elif way == "option":
        node.start("--join-token", token)
    else:
        file.write_text(token)
        node.start("--join-token-file", str(file))
    assert node.process is not None
    proc = Path(f"/proc/{node.process.pid}")
    assert token.encode() not in (proc / "environ").read_bytes() + (proc / "cmdline").read_bytes()
    assert not file.exists()
    assert token not in node.said()
    assert not [it for it in node.state_dir.rglob("*") if it.is_file() and token in it.read_text()]
    node.send(signal.SIGTERM)
    node.start(*(("--join-token-file", str(file)) if way == "file" else ()))


def test_a_task_runs_and_its_log_comes_before_its_end(joined: Node) -> None:
    joined.run("replica_1", "echo hello; exit 3")
    record = joined.ended("replica_1")
    assert (record.code, record.reason) == (3, ExitReason.ERROR)
    assert joined.fake.logs["replica_1"] == b"hello\n"
    wait_for(lambda: not (joined.state_dir / "replicas" / "replica_1").exists())


def test_a_halted_init_of_a_replica_is_continued(joined: Node) -> None:
    joined.run("replica_1", "sleep 1; echo done")
    started = joined.started("replica_1")
    if "init_pid" not in started:
        pytest.skip("replicas have no PID namespace here")
    os.kill(started["init_pid"], signal.SIGSTOP)
    assert joined.ended("replica_1").reason is ExitReason.COMPLETED


def test_a_killed_agent_does_not_disturb_a_replica_and_adopts_it(joined: Node) -> None:
    joined.run("replica_1", COUNT.format(to=900))
    pid = joined.started("replica_1")["pid"]
    joined.prints("replica_1", b"20\n")
    joined.send(signal.SIGKILL)
    time.sleep(0.3)
    assert is_alive(pid)
    joined.start()
    wait_for(lambda: "replica_adopted" in joined.said())
    assert joined.ended("replica_1").reason is ExitReason.COMPLETED
    joined.logged("replica_1", counted(900))


def test_an_agent_killed_again_and_again_loses_nothing_and_runs_nothing_twice(
    node: Node, tmp_path: Path
) -> None:
    token = node.fake.join_token
    for number in range(6):
        node.launch(PENSTOCK_AGENT_JOIN_TOKEN=token)
        script = f"echo x >> {tmp_path}/ran-{number}; {COUNT.format(to=100)}; exit {number}"
        node.run(f"replica_{number}", script)
        wait_for((tmp_path / f"ran-{max(0, number - 1)}").exists)
        node.fake.lose_answers = number % 2
        node.send(signal.SIGKILL)
    node.launch()
    for number in range(6):
        assert node.ended(f"replica_{number}").code == number
        node.logged(f"replica_{number}", counted(100))
        assert (tmp_path / f"ran-{number}").read_text() == "x\n"


def test_a_replica_that_ends_while_the_agent_is_dead_is_told_of_later(joined: Node) -> None:
    joined.run("replica_1", "sleep 0.5; echo bye; exit 4")
    joined.started("replica_1")
    joined.send(signal.SIGKILL)
    wait_for(lambda: not joined.supervisors())
    assert joined.fake.exit_of("replica_1") is None
    joined.start()
    assert joined.ended("replica_1").code == 4
    joined.logged("replica_1", b"bye\n")


def test_sigterm_leaves_replicas_running_unless_told_to_drain(joined: Node) -> None:
    joined.run("replica_1", "sleep 100")
    pid = joined.started("replica_1")["pid"]
    assert joined.send(signal.SIGTERM) == 0
    assert is_alive(pid)
    joined.start("--drain-on-exit")
    assert joined.send(signal.SIGTERM) == 0
    assert not is_alive(pid)
    assert joined.ended("replica_1").reason is ExitReason.STOPPED


def test_a_replica_ends_at_its_deadline_when_the_agent_stays_dead(node: Node) -> None:
    node.fake.ttl_s, node.fake.margin_s = 2.0, 0.5
    node.start(PENSTOCK_AGENT_JOIN_TOKEN=node.fake.join_token)
    node.run("replica_1", "sleep 100")
    pid = node.started("replica_1")["pid"]
    node.send(signal.SIGKILL)
    killed = time.monotonic()
    wait_for(lambda: not is_alive(pid))
    assert time.monotonic() - killed < node.fake.ttl_s
    wait_for(lambda: not node.supervisors())


def test_a_cut_off_agent_loses_its_replica_at_the_deadline(node: Node) -> None:
    node.fake.ttl_s, node.fake.margin_s, node.fake.heartbeat_interval_s = 2.0, 0.5, 0.3
    node.start(PENSTOCK_AGENT_JOIN_TOKEN=node.fake.join_token)
    node.run("replica_1", "sleep 100")
    pid = node.started("replica_1")["pid"]
    time.sleep(2.5)
    assert is_alive(pid)  # heartbeats have renewed it
    node.fake.away = True
    cut = time.monotonic()
    wait_for(lambda: not is_alive(pid))
    assert 1.0 < time.monotonic() - cut < node.fake.ttl_s
    node.fake.away = False
    assert node.ended("replica_1").reason is ExitReason.LEASE_EXPIRED


def test_a_control_plane_away_for_less_than_the_lease_costs_nothing(joined: Node) -> None:
    joined.run("replica_1", COUNT.format(to=200))
    joined.prints("replica_1", b"5\n")
    joined.fake.away = True
    time.sleep(1.0)
    joined.fake.away = False
    assert joined.ended("replica_1").reason is ExitReason.COMPLETED
    joined.logged("replica_1", counted(200))


def test_a_replica_of_a_dead_epoch_is_stopped_and_its_report_refused(joined: Node) -> None:
    joined.run("replica_1", "sleep 100")
    pid = joined.started("replica_1")["pid"]
    joined.fake.refusals["replica_1"] = "stale_epoch"
    joined.fake.withdraw("replica_1")
    wait_for(lambda: not is_alive(pid))
    wait_for(lambda: not (joined.state_dir / "replicas" / "replica_1").exists())
    assert joined.fake.exit_of("replica_1") is None


def test_a_killed_supervisor_is_told_as_a_killed_replica(joined: Node) -> None:
    joined.run("replica_1", "sleep 100")
    os.kill(joined.started("replica_1")["supervisor_pid"], signal.SIGKILL)
    assert joined.ended("replica_1").reason is ExitReason.KILLED


def test_ranks_meet_at_the_address_of_rank_0(joined: Node) -> None:
    script = "echo $RANK $MASTER_ADDR:$MASTER_PORT"
    joined.run("rank_1", script, rank=1, world_size=2)
    joined.run("rank_0", script, rank=0, world_size=2)
    (address,) = set(wait_for(lambda: joined.fake.told("rank_0", "address")))
    assert joined.fake.states("rank_1") == []
    joined.fake.set_master("rank_1", address)
    for rank in (0, 1):
        joined.prints(f"rank_{rank}", f"{rank} {address}\n".encode())


def test_a_server_is_ready_once_its_health_route_answers(joined: Node) -> None:
    script = (
        "mkdir www; cd www; sleep 0.5; touch health; exec python3 -m http.server $PENSTOCK_PORT"
    )
    joined.run("replica_1", script, serves=True)
    wait_for(lambda: True in joined.fake.told("replica_1", "ready"))
    told = joined.fake.told("replica_1", "ready")
    assert told == [False, True]
    joined.fake.stop("replica_1")
    assert joined.ended("replica_1").reason is ExitReason.STOPPED


def test_a_workload_reports_over_its_socket(joined: Node) -> None:
    source = ROOT / "tests/integration/agents/reporting_workload.py"
    joined.run("replica_1", f"exec python3 {source}")
    assert joined.ended("replica_1").code == 0
    assert joined.fake.told("replica_1", "result")[-1] == {"loss": 1.25}
    assert [it.step for it in joined.fake.told("replica_1", "progress")][-1] == 7
    assert [it.step for it in joined.fake.checkpoints] == [7]


def test_a_credential_is_exchanged_when_asked_for(node: Node) -> None:
    node.fake.heartbeat_interval_s = 0.2
    node.fake.rotate = True
    node.start(PENSTOCK_AGENT_JOIN_TOKEN=node.fake.join_token)
    wait_for(lambda: node.fake.credential == "credential-0+")
    wait_for(lambda: (node.state_dir / "credential").read_text() == "credential-0+")
    beats = len(node.fake.heartbeats)
    wait_for(lambda: len(node.fake.heartbeats) > beats)


def test_a_second_agent_on_the_same_folder_is_refused(joined: Node) -> None:
    first = joined.process
    joined.launch()
    assert joined.process is not None
    assert joined.process.wait(20) == 1
    assert "already running" in joined.said()
    joined.process = first


def test_a_node_without_a_token_says_what_to_do(node: Node) -> None:
    node.state_dir.mkdir()
    node.launch()
    assert node.process is not None
    assert node.process.wait(20) == 1
    assert "penstock node join" in node.said()
    assert "Traceback" not in node.said()


def test_a_used_token_is_refused_with_one_sentence(node: Node) -> None:
    node.state_dir.mkdir()
    node.launch(PENSTOCK_AGENT_JOIN_TOKEN="used-before")
    assert node.process is not None
    assert node.process.wait(20) == 1
    assert "join token was not accepted" in node.said()
    assert "used-before" not in node.said()


def test_a_revoked_node_enrols_anew_with_a_fresh_token(joined: Node) -> None:
    joined.send(signal.SIGTERM)
    joined.fake.credential, joined.fake.join_token = "credential-new", "join-again"
    joined.start(PENSTOCK_AGENT_JOIN_TOKEN="join-again")
    assert (joined.state_dir / "credential").read_text() == "credential-new"


def test_an_agent_waits_for_a_control_plane_that_is_not_up_yet(node: Node) -> None:
    node.fake.away = True
    node.state_dir.mkdir()
    node.launch(PENSTOCK_AGENT_JOIN_TOKEN=node.fake.join_token)
    wait_for(lambda: node.fake.calls.count("enrol") >= 2)
    node.fake.away = False
    wait_for(lambda: node.fake.heartbeats)


def test_every_state_of_a_long_replica_is_told(joined: Node) -> None:
    joined.run("replica_1", "trap 'exit 0' TERM; while true; do sleep 0.05; done")
    wait_for(lambda: ReplicaState.RUNNING in joined.fake.states("replica_1"))
    joined.fake.stop("replica_1")
    joined.ended("replica_1")
    assert joined.fake.states("replica_1") == [
        ReplicaState.STARTING,
        ReplicaState.RUNNING,
        ReplicaState.STOPPING,
        ReplicaState.EXITED,
    ]


def test_a_replica_that_prints_fast_into_a_small_log_loses_nothing_and_is_not_held_up(
    node: Node,
) -> None:
    token = node.fake.join_token
    node.start(PENSTOCK_AGENT_JOIN_TOKEN=token, PENSTOCK_AGENT_LOG_CAP_BYTES=str(1 << 20))
    began = time.monotonic()
    node.run("replica_1", "seq 1 2000000")
    assert node.ended("replica_1").code == 0
    text = counted(2_000_000)  # 15 MB
    node.logged("replica_1", text)
    took_s = time.monotonic() - began
    print(f"{len(text) / 1e6:.1f} MB in {took_s:.1f} s")
    assert took_s < 10
