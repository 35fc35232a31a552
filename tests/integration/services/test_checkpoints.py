"""Where training goes on from, and what a name in a spec stands for."""

from __future__ import annotations

from typing import Any

import pytest

from control_plane.errors import Invalid
from control_plane.services.accounts.projects import create_project
from control_plane.services.checkpoints.commit import commit_checkpoint
from control_plane.services.jobs.explain import explain_job
from control_plane.services.jobs.read import list_checkpoints
from control_plane.services.jobs.retry import retry_job
from penstock.api.assignments import Assignment, CheckpointCommit, Failure
from penstock.api.ids import NodeId
from penstock.api.jobs import Checkpoint
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


def test_a_damaged_checkpoint_is_passed_over_for_the_one_before_it(cluster: Cluster) -> None:
    _committed(cluster, 100, 200)
    _fails_to_resume(cluster, 200)
    with cluster.deps.store.read() as tx:
        events = tx.events.of_object(cluster.job("coder").id, 0, 100)
    (event,) = [it for it in events if it.type == "checkpoint.damaged"]
    assert event.message.startswith("the checkpoint at step 200 cannot be used (")
    assert event.message.endswith("): training goes on from step 100")
    assert "goes on from the checkpoint at step 100" in _explained(cluster)
    cluster.steps(3)
    assert _assigned(cluster).work["resume"]["step"] == 100
    assert "goes on from the checkpoint at step 100" in _explained(cluster), "also once it runs"
    gang = cluster.gangs("coder")[0]
    assert (gang.own_failures, gang.infrastructure_failures) == (0, 1), "only for the kill"
    marked = {it.step: it.damaged for it in _listed(cluster)}
    assert marked[100] is None
    assert "was modified" in str(marked[200])


def test_one_damaged_checkpoint_after_another_is_passed_over(cluster: Cluster) -> None:
    _committed(cluster, 100, 200, 300)
    for damaged, older in ((300, 200), (200, 100)):
        _fails_to_resume(cluster, damaged)
        cluster.steps(3)
        assert _assigned(cluster).work["resume"]["step"] == older


def test_damaged_checkpoints_give_way_to_what_the_job_was_told_to_start_from(
    cluster: Cluster,
) -> None:
    _commit(cluster, _training(cluster), 100)
    _finish(cluster, "coder")
    cluster.submit(_a_training("again", train={"steps": 300, "resume_from": "coder"}))
    cluster.steps(2)
    _committed(cluster, 250, name="again")
    _fails_to_resume(cluster, 250, name="again")
    cluster.steps(3)
    assert _assigned(cluster, "again").work["resume"]["step"] == 100


def test_with_nothing_older_the_job_fails_and_says_why(cluster: Cluster) -> None:
    _committed(cluster, 100)
    _fails_to_resume(cluster, 100)
    cluster.steps(1)
    assert cluster.state("coder") is JobState.FAILED
    assert "was modified" in cluster.job("coder").message


def test_a_checkpoint_that_somebody_chose_is_not_passed_over(cluster: Cluster) -> None:
    for step in (100, 200):
        _commit(cluster, _training(cluster) if step == 100 else _assigned(cluster), step)
    _finish(cluster, "coder")
    cluster.submit(_a_training("again", train={"steps": 300, "resume_from": "coder"}))
    cluster.steps(2)
    _fails_to_resume(cluster, 200, name="again")
    cluster.steps(1)
    assert cluster.state("again") is JobState.FAILED


@pytest.mark.parametrize("code", ["bad_data", "out_of_memory", "commit_refused"])
def test_what_another_checkpoint_would_not_mend_fails_as_before(
    cluster: Cluster, code: str
) -> None:
    _committed(cluster, 100, 200)
    _fails_to_resume(cluster, 200, code=code)
    assert all(it.damaged is None for it in _listed(cluster))
    cluster.steps(1)
    assert cluster.state("coder") is JobState.FAILED


def test_peers_that_end_first_do_not_hide_the_damaged_checkpoint(cluster: Cluster) -> None:
    cluster.node("a", {"emulated-a100": 4})
    cluster.submit(_a_training("coder", resources={"chips": 2}))
    cluster.steps(2)
    for step in (100, 200):
        _commit(cluster, _assigned(cluster), step)
    cluster.finish("coder", ExitReason.KILLED)
    cluster.steps(3)
    cluster.finish("coder", ExitReason.ERROR, 1, 75, failure=_failure("peer_lost", "lost contact"))
    _fails_to_resume(cluster, 200)
    cluster.steps(3)
    assert _assigned(cluster).work["resume"]["step"] == 100


def test_a_name_means_the_newest_intact_checkpoint(cluster: Cluster) -> None:
    _committed(cluster, 100, 200)
    _fails_to_resume(cluster, 200)
    cluster.submit(_a_training("again", train={"steps": 300, "resume_from": "coder"}))
    cluster.submit(a_server("chat", serve={"model": "job:coder"}))
    assert cluster.job("again").resolved["resume"]["step"] == 100
    assert cluster.endpoint("chat").manifest_sha256 == _sha(100)


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
    replica = cluster.replicas(name)[0]
    agent = cluster.agent_of(replica)
    agent.poll()
    assert agent.desired is not None
    return next(it for it in agent.desired.assignments if it.replica_id == replica.id)


def _committed(cluster: Cluster, *steps: int, name: str = "coder") -> None:
    """A running job whose first attempt ended after these steps, and whose second runs."""
    assignment = _training(cluster) if name == "coder" else _assigned(cluster, name)
    for step in steps:
        _commit(cluster, assignment, step)
    cluster.finish(name, ExitReason.KILLED)
    cluster.steps(3)


def _fails_to_resume(
    cluster: Cluster, step: int, name: str = "coder", code: str = "bad_checkpoint"
) -> None:
    """Its attempt ends as the engine ends it, and its agent tells."""
    assert _assigned(cluster, name).work["resume"]["step"] == step
    failure = _failure(code, "file:///x/rank-0.safetensors was modified: its sha256 is another")
    cluster.finish(name, ExitReason.ERROR, code=1, failure=failure)
    cluster.steps(1)


def _failure(code: str, message: str) -> Failure:
    return Failure(code=code, message=message)


def _listed(cluster: Cluster) -> list[Checkpoint]:
    return list(list_checkpoints(cluster.deps, ADMIN, "coder", 100, None).items)


def _explained(cluster: Cluster) -> str:
    return explain_job(cluster.deps, ADMIN, "coder").sentence


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
