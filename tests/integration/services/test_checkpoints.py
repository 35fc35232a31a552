"""Where training goes on from, and what a name in a spec stands for."""

from __future__ import annotations

from typing import Any

import pytest

from control_plane.errors import Invalid
from control_plane.services.accounts.projects import create_project
from control_plane.services.checkpoints.commit import commit_checkpoint
from control_plane.services.jobs.retry import retry_job
from penstock.api.assignments import Assignment, CheckpointCommit
from penstock.api.ids import NodeId
from penstock.api.states import ExitReason, JobState
from penstock.api.tokens import ProjectRequest
from tests.fakes.cluster import ADMIN, Cluster, a_server


def test_the_first_attempt_starts_from_nothing(cluster: Cluster) -> None:
    work = _training(cluster).work
    assert (work["resume"], work["steps"]) == (None, 300)


def test_the_next_attempt_goes_on_from_the_newest_checkpoint(cluster: Cluster) -> None:
    first = _training(cluster)
    for step in (100, 200, 150):
        _commit(cluster, first, step)
    assert _assigned(cluster).work["resume"] is None, "one's own are none to start from"
    cluster.finish("coder", ExitReason.KILLED)
    cluster.steps(3)
    resume = _assigned(cluster).work["resume"]
    assert (resume["step"], resume["manifest_sha256"]) == (200, _sha(200))
    assert resume["uri"].endswith("step-200-e1")


def test_a_later_attempts_checkpoint_of_the_same_step_stands_above_the_earlier(
    cluster: Cluster,
) -> None:
    for attempt in (1, 2):
        assignment = _training(cluster) if attempt == 1 else _assigned(cluster)
        _commit(cluster, assignment, 100)
        cluster.finish("coder", ExitReason.KILLED)
        cluster.steps(4)
    assert _assigned(cluster).work["resume"]["uri"].endswith("step-100-e2")


def test_a_job_told_to_start_from_another_does_until_it_has_its_own(cluster: Cluster) -> None:
    _commit(cluster, _training(cluster), 100)
    _finish(cluster, "coder")
    cluster.submit(_a_training("again", train={"steps": 300, "resume_from": "coder"}))
    cluster.steps(2)
    assert _assigned(cluster, "again").work["resume"]["step"] == 100
    _commit(cluster, _assigned(cluster, "again"), 250)
    cluster.finish("again", ExitReason.KILLED)
    cluster.steps(3)
    assert _assigned(cluster, "again").work["resume"]["step"] == 250


def test_a_name_means_its_newest_run_that_has_a_checkpoint(cluster: Cluster) -> None:
    _commit(cluster, _training(cluster), 100)
    _finish(cluster, "coder")
    cluster.submit(_a_training("coder"))
    cluster.submit(_a_training("again", train={"steps": 300, "resume_from": "coder"}))
    cluster.steps(2)
    assert _assigned(cluster, "again").work["resume"]["step"] == 100


@pytest.mark.parametrize("steps", [1, 99, 100])
def test_training_that_would_start_at_its_end_is_refused(cluster: Cluster, steps: int) -> None:
    _commit(cluster, _training(cluster), 100)
    _finish(cluster, "coder")
    with pytest.raises(Invalid) as caught:
        cluster.submit(_a_training("again", train={"steps": steps, "resume_from": "coder"}))
    (wrong,) = caught.value.violations
    assert wrong.pointer == "/train/steps"
    assert "more than 100" in wrong.message


def test_a_finished_training_that_is_retried_begins_anew(cluster: Cluster) -> None:
    _commit(cluster, _training(cluster), 300)
    _finish(cluster, "coder")
    retry_job(cluster.deps, ADMIN, "coder", None)
    cluster.steps(2)
    assert _assigned(cluster).work["resume"] is None


@pytest.mark.parametrize(
    "uri",
    [
        "file:///etc", "{folder}/../../../etc", "{folder}/a/%2e%2e/b", "{other}/step-1",
        "{folder}::file:///etc", "s3://elsewhere/step-1",
    ],
)  # fmt: skip
def test_a_checkpoint_that_lies_elsewhere_is_refused(cluster: Cluster, uri: str) -> None:
    training = _training(cluster)
    other = training.storage.replace(training.job_id, "job_" + "0" * 32)
    commit = CheckpointCommit(
        replica_id=training.replica_id,
        epoch=1,
        step=1,
        manifest_sha256=_sha(1),
        uri=uri.format(folder=training.storage, other=other),
    )
    with pytest.raises(Invalid, match="not a place below the job's own folder"):
        commit_checkpoint(cluster.deps, NodeId(cluster.agents["a"].node_id), commit)
    _commit(cluster, training, 100)


def test_a_retried_job_goes_on_from_where_the_old_one_was(cluster: Cluster) -> None:
    _commit(cluster, _training(cluster), 100)
    _finish(cluster, "coder", ExitReason.ERROR)
    assert cluster.state("coder") is JobState.FAILED
    retry_job(cluster.deps, ADMIN, "coder", None)
    cluster.steps(2)
    assert _assigned(cluster).work["resume"]["step"] == 100


def test_a_server_of_a_job_serves_its_newest_checkpoint_with_its_hash(cluster: Cluster) -> None:
    assignment = _training(cluster)
    for step in (100, 200):
        _commit(cluster, assignment, step)
    cluster.submit(a_server("chat", serve={"model": "job:coder"}))
    endpoint = cluster.endpoint("chat")
    assert endpoint.manifest_sha256 == _sha(200)
    cluster.steps(2)
    work = _assigned(cluster, "chat").work
    assert (work["model_name"], work["kind"]) == ("chat", "checkpoint")
    assert work["manifest_sha256"] == _sha(200)


@pytest.mark.parametrize("model", ["job:nobody", "checkpoint:checkpoint_0", "job:coder"])
def test_a_name_that_stands_for_nothing_is_refused(cluster: Cluster, model: str) -> None:
    _training(cluster)
    with pytest.raises(Invalid) as caught:
        cluster.submit(a_server("chat", serve={"model": model}))
    assert caught.value.violations[0].pointer == "/serve/model"


def test_another_tenants_checkpoint_is_as_if_it_were_not(cluster: Cluster) -> None:
    create_project(cluster.deps, ADMIN, ProjectRequest(name="other"))
    commit_id = _commit(cluster, _training(cluster), 100)
    for model in ("job:coder", f"checkpoint:{commit_id}"):
        with pytest.raises(Invalid):
            cluster.submit(a_server("chat", serve={"model": model}, project="other"))


def _a_training(name: str, **fields: Any) -> dict[str, Any]:
    return {
        "type": "train", "name": name, "train": {"steps": 300}, "resources": {"chips": 1},
        "disconnect_grace": 30.0, **fields,
    }  # fmt: skip


def _training(cluster: Cluster) -> Assignment:
    """A running job of one rank."""
    cluster.node("a", {"emulated-a100": 4})
    cluster.submit(_a_training("coder"))
    cluster.steps(2)
    return _assigned(cluster)


def _assigned(cluster: Cluster, name: str = "coder") -> Assignment:
    """As its node is told now."""
    (replica,) = cluster.replicas(name)
    agent = cluster.agent_of(replica)
    agent.poll()
    assert agent.desired is not None
    return next(it for it in agent.desired.assignments if it.replica_id == replica.id)


def _finish(cluster: Cluster, name: str, reason: ExitReason = ExitReason.COMPLETED) -> None:
    cluster.finish(name, reason)
    cluster.steps(2)


def _commit(cluster: Cluster, assignment: Assignment, step: int) -> str:
    agent = next(iter(cluster.agents.values()))
    commit = CheckpointCommit(
        replica_id=assignment.replica_id,
        epoch=assignment.epoch,
        step=step,
        uri=f"{assignment.storage}/step-{step}-e{assignment.epoch}",
        manifest_sha256=_sha(step),
    )
    return commit_checkpoint(cluster.deps, NodeId(agent.node_id), commit).checkpoint_id


def _sha(step: int) -> str:
    return f"{step:064x}"
