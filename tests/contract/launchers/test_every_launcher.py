"""What holds of whoever owns the processes of a node."""

from __future__ import annotations

from control_plane.launchers.fake import FakeLauncher
from control_plane.services.agents.assignments import owned_list
from control_plane.services.agents.launch import launch
from control_plane.services.agents.reports import record_reports
from penstock.api.assignments import Observation, ReportRequest
from penstock.api.states import ExitReason, JobState, ReplicaState
from tests.contract.launchers.conftest import OfLauncher, Rig
from tests.fakes.cluster import a_gang, a_task


def test_what_is_placed_runs_once_and_its_lease_begins(rig: Rig) -> None:
    rig.cluster.submit(a_task("one"))
    for _ in range(4):
        rig.round()
    (replica,) = rig.cluster.replicas("one")
    assert rig.owner.started() == [replica.id]
    assert rig.cluster.state("one") is JobState.RUNNING
    assert rig.cluster.lease(replica.id).began_at is not None


def test_a_rank_above_the_first_starts_once_it_is_known_where_the_first_is(rig: Rig) -> None:
    rig.cluster.submit(a_gang("wide", 2))
    for _ in range(3):
        rig.round()
    ranks = {it.id: it.rank for it in rig.cluster.replicas("wide")}
    assert [ranks[it] for it in rig.owner.started()] == [0, 1]
    assert rig.cluster.state("wide") is JobState.RUNNING


def test_an_end_gives_the_chips_back_and_ends_the_job(rig: Rig) -> None:
    rig.cluster.submit(a_task("one"))
    rig.round()
    (replica,) = rig.cluster.replicas("one")
    rig.owner.end(replica.id, ExitReason.COMPLETED)
    rig.round()
    assert rig.cluster.leases() == []
    assert rig.cluster.replicas("one")[0].state == ReplicaState.EXITED


def test_what_is_to_stop_ends_and_is_told_with_its_reason(rig: Rig) -> None:
    rig.cluster.submit(a_task("one"))
    rig.round()
    rig.cluster.cancel("one")
    for _ in range(3):
        rig.round()
    assert rig.owner.running() == set()
    assert rig.cluster.state("one") is JobState.CANCELLED
    assert rig.cluster.leases() == []


def test_what_was_cancelled_before_it_started_never_runs(rig: Rig) -> None:
    rig.owner.cut(off=True)
    rig.cluster.submit(a_task("one"))
    rig.round()
    rig.cluster.cancel("one")
    rig.owner.cut(off=False)
    for _ in range(3):
        rig.round()
    assert rig.owner.running() == set()
    assert rig.cluster.state("one") is JobState.CANCELLED


def test_whoever_was_not_reached_goes_on_where_it_was(rig: Rig) -> None:
    rig.cluster.submit(a_task("one"))
    rig.round()
    rig.owner.cut(off=True)
    rig.cluster.submit(a_task("two"))
    for _ in range(3):
        rig.round()
    assert len(rig.owner.running()) == 1
    rig.owner.cut(off=False)
    for _ in range(3):
        rig.round()
    assert len(rig.owner.started()) == len(rig.owner.running()) == 2
    assert rig.cluster.state("two") is JobState.RUNNING


def test_silence_ends_a_replica_only_where_time_proves_its_end(rig: Rig) -> None:
    rig.cluster.submit(a_task("one"))
    rig.round()
    (replica,) = rig.cluster.replicas("one")
    rig.owner.cut(off=True)
    for _ in range(5):
        rig.round(3600)
    assert (rig.owner.running() == set()) is rig.owner.proven_by_time
    assert (rig.cluster.leases() == []) is rig.owner.proven_by_time
    rig.owner.end(replica.id, ExitReason.KILLED)
    rig.owner.cut(off=False)
    rig.round()
    assert rig.cluster.lease(replica.id).state != "held"


def test_what_is_told_again_late_and_of_another_attempt_changes_nothing(rig: Rig) -> None:
    rig.cluster.submit(a_task("one"))
    rig.round()
    (replica,) = rig.cluster.replicas("one")
    now = rig.cluster.clock.now()
    seen = [
        Observation(replica_id=replica.id, epoch=epoch, state=state, observed_at=now)
        for epoch, state in (
            (1, ReplicaState.STARTING),
            (1, ReplicaState.RUNNING),
            (2, ReplicaState.EXITED),
            (0, ReplicaState.EXITED),
        )
    ]
    for some in (seen, seen[::-1]):
        record_reports(rig.cluster.deps, replica.node_id, ReportRequest(observations=tuple(some)))
    assert rig.cluster.state("one") is JobState.RUNNING
    assert len(rig.cluster.leases()) == 1


def test_an_older_list_after_a_newer_one_stops_and_starts_nothing(rig: Rig) -> None:
    rig.cluster.submit(a_task("one"))
    rig.round()
    (replica,) = rig.cluster.replicas("one")
    older = owned_list(rig.cluster.deps, replica.node_id)
    rig.owner.end(replica.id, ExitReason.COMPLETED)
    rig.round()
    rig.cluster.submit(a_task("two"))
    rig.round()
    running = rig.owner.running()
    if isinstance(rig.owner, OfLauncher):
        rig.owner.launcher.apply(replica.node_id, older)
    else:
        agent = rig.cluster.agents["a"]
        agent.take(older, agent.now_ns())
    assert rig.owner.running() == running
    assert len(running) == 1
    assert len(rig.owner.started()) == 2


def test_a_launcher_that_nobody_knows_leaves_its_nodes_alone(rig: Rig) -> None:
    stranger = FakeLauncher(rig.cluster.clock.now)
    rig.cluster.deps.launchers["nobody"] = stranger  # type: ignore[index]
    rig.cluster.submit(a_task("one"))
    rig.round()
    launch(rig.cluster.deps)
    assert stranger.starts == []
