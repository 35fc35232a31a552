"""Leadership and guards: what was decided on an older view of the cloud commits nothing."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from subprocess import PIPE

import pytest

from control_plane.clock import ManualClock
from control_plane.errors import Conflict
from control_plane.services.agents.heartbeat import record_heartbeat
from control_plane.services.scheduling.cycle import run_cycle
from control_plane.services.scheduling.lead import Candidate, check_leads, resign, try_to_lead
from control_plane.store.database import sole_writer
from control_plane.store.leader_watch import LeaderWatch
from control_plane.store.models import Cycle
from penstock.api.assignments import HeartbeatRequest
from penstock.api.ids import NodeId
from penstock.api.states import ExitReason, JobState, NodeIntent
from tests.fakes.cluster import BIG, Cluster, a_gang, a_task, an_inventory


def test_who_is_seen_to_renew_leads_and_each_change_takes_the_next_epoch(cluster: Cluster) -> None:
    assert cluster.lead("x") == 1
    assert cluster.lead("y") is None
    cluster.clock.advance(9)
    assert cluster.lead("x") == 1, "renewed in time"
    assert cluster.lead("y") is None
    cluster.clock.advance(9)
    assert cluster.lead("y") is None
    cluster.clock.advance(1)
    assert cluster.lead("y") == 2
    assert cluster.lead("x") is None


def test_who_looks_for_the_first_time_waits_a_term_whatever_the_row_says(cluster: Cluster) -> None:
    """Whether it was written a moment or a year ago, no clock can tell."""
    cluster.lead("x")
    cluster.clock.advance(1000)
    assert cluster.lead("y") is None
    cluster.clock.advance(9)
    assert cluster.lead("y") is None
    cluster.clock.advance(1)
    assert cluster.lead("y") == 2


@pytest.mark.parametrize("step", [timedelta(hours=1), timedelta(days=-400), timedelta(0)])
def test_a_step_of_a_wall_clock_neither_makes_nor_ends_a_leader(
    cluster: Cluster, step: timedelta
) -> None:
    wall = ManualClock(cluster.clock.now())
    deps = replace(cluster.deps, clock=wall)
    x, y = LeaderWatch(), LeaderWatch()

    def look(name: str, watch: LeaderWatch, now_s: float) -> int | None:
        return try_to_lead(deps, Candidate(name, 10), watch, now_s)

    look("x", x, 0)
    for now_s in range(0, 60, 5):
        wall.advance(step.total_seconds() if now_s == 20 else 0)
        assert (look("x", x, now_s), look("y", y, now_s)) == (1, None)
    assert look("y", y, 64.9) is None
    assert look("y", y, 65) == 2, "x, frozen since 55, is followed a term after its last renewal"
    assert look("x", x, 66) is None


def test_who_is_alone_by_the_lock_of_its_file_leads_at_once(cluster: Cluster) -> None:
    cluster.lead("before a crash")
    me = Candidate("after it", 10, alone=True)
    assert try_to_lead(cluster.deps, me, LeaderWatch(), 0) == 2


def test_who_resigns_lets_another_lead_at_once(cluster: Cluster) -> None:
    cluster.lead("x")
    resign(cluster.deps, "y")
    assert cluster.lead("y") is None
    resign(cluster.deps, "x")
    assert cluster.lead("y") == 2


def test_of_many_that_take_an_ended_term_at_once_one_gets_it(cluster: Cluster) -> None:
    cluster.lead("x")
    names = [f"y{number}" for number in range(6)]
    assert [cluster.lead(name) for name in names] == [None] * 6
    cluster.clock.advance(10)
    with ThreadPoolExecutor(6) as threads:
        won = [it for it in threads.map(cluster.lead, names) if it is not None]
    assert won == [2]


def test_the_lead_is_taken_while_a_frozen_writer_holds_the_lock(cluster: Cluster) -> None:
    if cluster.deps.store.database.is_sqlite:
        pytest.skip("on SQLite one process writes")
    cluster.lead("frozen")
    cluster.lead("standby")
    cluster.clock.advance(10)
    with cluster.deps.store.write():
        assert cluster.lead("standby") == 2


def test_a_leader_deposed_between_plan_and_commit_commits_nothing(cluster: Cluster) -> None:
    cluster.node("a")
    cluster.submit(a_task("one"))
    epoch = cluster.lead()
    assert epoch is not None

    def depose() -> None:
        cluster.lead("new")
        cluster.clock.advance(10)
        assert cluster.lead("new") == epoch + 1

    with pytest.raises(Conflict, match="is over"):
        cluster.cycle(between=depose)
    assert (cluster.state("one"), cluster.leases()) == (JobState.QUEUED, [])
    assert run_cycle(cluster.deps, epoch + 1, "test") == 1


def test_nobody_takes_over_between_the_look_at_the_epoch_and_the_commit(cluster: Cluster) -> None:
    if cluster.deps.store.database.is_sqlite:
        pytest.skip("SQLite has one writer at a time")
    epoch = cluster.lead("x")
    assert epoch is not None
    cluster.lead("y")
    cluster.clock.advance(10)
    with ThreadPoolExecutor(1) as other, cluster.deps.store.write() as tx:
        check_leads(tx, epoch)
        taking = other.submit(cluster.lead, "y")
        with pytest.raises(TimeoutError):
            taking.result(0.2)
        tx._session.commit()
        assert taking.result(5) == epoch + 1


@pytest.mark.parametrize("change", ["cordon", "silence", "chip gone", "fewer cores"])
def test_a_node_that_changed_since_the_snapshot_gets_nothing(cluster: Cluster, change: str) -> None:
    agent = cluster.node("a", {BIG: 1})
    cluster.submit(a_task("one"))

    def beat(chips: int, cores: int) -> object:
        less = an_inventory({BIG: chips}, cores=cores)
        request = HeartbeatRequest(instance="1", generation=0, inventory=less)
        return record_heartbeat(cluster.deps, NodeId(agent.node_id), request)

    def silence() -> None:
        cluster.clock.advance(16)
        cluster.sweep()
        cluster.lead()

    changes: dict[str, Callable[[], object]] = {
        "cordon": lambda: cluster.intend("a", NodeIntent.CORDONED),
        "silence": silence,
        "chip gone": lambda: beat(0, 32),
        "fewer cores": lambda: beat(1, 0),
    }
    assert cluster.cycle(between=changes[change]) == 0
    assert (cluster.state("one"), cluster.leases()) == (JobState.QUEUED, [])
    assert "overtaken" in _last_cycle(cluster).message
    assert cluster.cycle() == 0, "and the next cycle knows better"


def test_a_job_cancelled_since_the_snapshot_is_not_placed(cluster: Cluster) -> None:
    cluster.node("a")
    cluster.submit(a_task("one"))
    cluster.submit(a_task("two"))
    assert cluster.cycle(between=lambda: cluster.cancel("one")) == 1
    assert (cluster.state("one"), cluster.state("two")) == (JobState.CANCELLED, JobState.STARTING)


def test_a_gang_is_left_whole_when_one_of_its_nodes_changed(cluster: Cluster) -> None:
    cluster.node("a", {BIG: 1})
    cluster.node("b", {BIG: 1})
    cluster.submit(a_gang("pair", 2))
    assert cluster.cycle(between=lambda: cluster.intend("b", NodeIntent.CORDONED)) == 0
    assert (cluster.replicas("pair"), cluster.leases()) == ([], [])


def test_a_gang_that_could_go_on_while_the_plan_was_made_is_looked_at_again(
    cluster: Cluster,
) -> None:
    """Its back-off ended between snapshot and commit: the sweep must still see it as due."""
    cluster.node("a", {BIG: 1})
    cluster.submit(a_task("weak", retry={"limit": 5}))
    cluster.steps(2)
    cluster.finish("weak", ExitReason.ERROR)
    assert cluster.cycle(between=lambda: cluster.clock.advance(1.5)) == 0
    with cluster.deps.store.read() as tx:
        assert tx.gangs.any_due(cluster.clock.now())
    assert cluster.cycle() == 1


def _last_cycle(cluster: Cluster) -> Cycle:
    with cluster.deps.store.read() as tx:
        return tx.cycles.page(1, None, newest_first=True).rows[0]


def test_with_sqlite_a_second_server_is_refused_until_the_first_has_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sole_writer, "LOCK_S", 0.1)
    url = f"sqlite:///{tmp_path}/penstock.db"
    code = "import sys; from control_plane.store.database import sole_writer\n"
    code += "sole_writer.hold_database(sys.argv[1]); print('held', flush=True); sys.stdin.read()"
    with subprocess.Popen(
        [sys.executable, "-c", code, url], stdin=PIPE, stdout=PIPE, text=True
    ) as first:
        assert first.stdout is not None
        assert first.stdout.readline() == "held\n"
        with pytest.raises(sole_writer.InUse, match=r"another server works on .*penstock\.db"):
            sole_writer.hold_database(url)
        first.kill()
    sole_writer.hold_database(url)
    sole_writer.hold_database("postgresql+psycopg://penstock@db/penstock")
