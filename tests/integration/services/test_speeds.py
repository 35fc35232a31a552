"""From the speed that a replica reports to the planner's choice, for every phase of work."""

from __future__ import annotations

from collections.abc import Mapping

from control_plane.domain.places import job_folder
from control_plane.services.checkpoints.commit import commit_checkpoint
from control_plane.services.nodes.read import get_chip, list_chips
from control_plane.services.usage.speeds import list_speeds
from penstock.api.assignments import CheckpointCommit, Observation, ReportRequest, SpeedReport
from penstock.api.specs import ModelShape
from penstock.api.states import ReplicaState
from penstock.api.work import ModelSize, Phase, serve_class, train_class
from scheduler.model import Gang, Snapshot
from scheduler.throughput import expected_speed
from tests.fakes.cluster import ADMIN, BIG, SMALL, Cluster, a_server

SIZE = ModelSize.of(ModelShape().model_dump())
TRAIN = str(train_class(SIZE, 24, 4, 1))
SERVE = {it: str(serve_class(it, SIZE.name, 1, "fp32", SIZE)) for it in Phase if it != Phase.TRAIN}


def test_a_training_jobs_speed_is_expected_of_the_next_one(cluster: Cluster) -> None:
    cluster.node("a", {BIG: 1})
    _train(cluster, "first")
    cluster.steps(2)
    _report(cluster, "first", {TRAIN: 240.0})
    _train(cluster, "second")
    snapshot = _snapshot(cluster)
    assert _expected(snapshot, BIG) == (240.0, "observed")
    assert _waiting(snapshot).work.flops_per_token == SIZE.cost(train_class(SIZE, 24, 4, 1)).flops


def test_prefill_and_decode_of_a_checkpoint_reach_the_planner(cluster: Cluster) -> None:
    cluster.node("a", {BIG: 1})
    cluster.node("b", {SMALL: 1})
    _train(cluster, "coder")
    cluster.steps(2)
    (row,) = cluster.replicas("coder")
    commit = CheckpointCommit(
        replica_id=row.id,
        epoch=1,
        step=10,
        uri=f"{job_folder(cluster.deps.storage, row.job_id)}/1",
        manifest_sha256="a" * 64,
    )
    commit_checkpoint(cluster.deps, row.node_id, commit)
    cluster.finish("coder")
    served = {"model": "job:coder", "replicas": 1}
    for name, chip, decode, prefill in (("x", BIG, 10.0, 90.0), ("y", SMALL, 20.0, 20.0)):
        cluster.submit(a_server(name, serve=served, resources={"chips": 1, "chip": chip}))
        cluster.steps(3)
        _report(cluster, name, {SERVE[Phase.DECODE]: decode, SERVE[Phase.PREFILL]: prefill})
        (row,) = cluster.replicas(name)
        assert row.speed is not None
        assert row.speed["value"] == decode, "requests follow how fast it writes"
    cluster.submit(a_server("z", serve=served))
    snapshot = _snapshot(cluster)
    assert _expected(snapshot, BIG) == (18.0, "observed")
    assert _expected(snapshot, SMALL) == (20.0, "observed")
    found = list_speeds(cluster.deps, 2, None)
    rest = list_speeds(cluster.deps, 100, found.next)
    assert {it.phase for it in (*found.items, *rest.items)} == {Phase.PREFILL, Phase.DECODE}
    assert len(found.items) == 2
    assert len(rest.items) == 2


def test_a_folder_is_known_by_its_name_and_older_agents_are_believed(cluster: Cluster) -> None:
    cluster.node("a", {BIG: 1})
    cluster.submit(a_server("x"))
    cluster.steps(3)
    _report(cluster, "x", {str(serve_class(Phase.DECODE, "tiny", 1, "bf16", SIZE)): 7.0})
    cluster.submit(a_server("y"))
    assert _expected(_snapshot(cluster), BIG) == (7.0, "observed")
    cluster.cancel("x")
    cluster.cancel("y")
    cluster.steps(3)
    _train(cluster, "first")
    cluster.steps(2)
    older = SpeedReport(work_class="train/llama-2x128", value=11.0)
    _send(cluster, "first", speed=older)
    _train(cluster, "second")
    assert _expected(_snapshot(cluster), BIG) == (11.0, "observed")


def test_no_unit_and_no_origin_is_folded_into_another(cluster: Cluster) -> None:
    cluster.node("a", {BIG: 1})
    _train(cluster, "first")
    cluster.steps(2)
    for report in (
        SpeedReport(work_class=TRAIN, value=5.0, origin="profile"),
        SpeedReport(work_class=TRAIN, value=3.0, unit="steps/s"),
        SpeedReport(work_class=TRAIN, value=6.0),
    ):
        _send(cluster, "first", speeds={report.work_class: report})
    _train(cluster, "second")
    assert _expected(_snapshot(cluster), BIG) == (6.0, "observed")
    (shown,) = list_chips(cluster.deps, ADMIN, 10, None).items
    speeds = get_chip(cluster.deps, ADMIN, shown.id).speeds
    numbers = [(it.value, it.unit, it.origin) for it in speeds]
    assert numbers == [
        (5.0, "tokens/s", "profile"),
        (3.0, "steps/s", "observed"),
        (6.0, "tokens/s", "observed"),
    ]


def _train(cluster: Cluster, name: str) -> None:
    cluster.submit({"type": "train", "name": name, "train": {}, "resources": {"chips": 1}})


def _report(cluster: Cluster, job: str, speeds: Mapping[str, float]) -> None:
    told = {it: SpeedReport(work_class=it, value=value) for it, value in speeds.items()}
    _send(cluster, job, speeds=told)


def _send(
    cluster: Cluster,
    job: str,
    speed: SpeedReport | None = None,
    speeds: dict[str, SpeedReport] | None = None,
) -> None:
    (row,) = cluster.replicas(job)
    seen = Observation(
        replica_id=row.id,
        epoch=row.attempt,
        state=ReplicaState.RUNNING,
        observed_at=cluster.clock.now(),
        speed=speed,
        speeds=speeds,
    )
    cluster.agent_of(row).send_again(ReportRequest(observations=(seen,)))


def _snapshot(cluster: Cluster) -> Snapshot:
    with cluster.deps.store.read() as tx:
        return cluster.deps.read_pool(tx, cluster.clock.now()).snapshot


def _waiting(snapshot: Snapshot) -> Gang:
    (gang,) = snapshot.queued
    return gang


def _expected(snapshot: Snapshot, chip_type: str) -> tuple[float, str]:
    rate = expected_speed(_waiting(snapshot).work, chip_type, snapshot.speeds)
    assert rate is not None
    return round(rate.value, 6), rate.origin
