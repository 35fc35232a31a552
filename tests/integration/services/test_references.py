"""What a reference means where objects of before have names that look like other objects' ids."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import update

from control_plane.errors import Conflict, Invalid, NotFound
from control_plane.services.accounts.projects import create_project
from control_plane.services.accounts.put_queue import put_queue
from control_plane.services.accounts.read_queues import get_queue
from control_plane.services.accounts.tokens import create_token, revoke_token
from control_plane.services.checkpoints.commit import commit_checkpoint
from control_plane.services.endpoints.read import get_endpoint
from control_plane.services.jobs.cancel import cancel_job
from control_plane.services.jobs.explain import explain_job
from control_plane.services.jobs.read import get_job, list_checkpoints, list_jobs, list_replicas
from control_plane.services.jobs.read_events import list_job_events
from control_plane.services.jobs.retry import retry_job
from control_plane.services.jobs.submit import submit_job
from control_plane.services.logs.read import Ask, read_logs
from control_plane.services.nodes.intent import set_intent
from control_plane.services.nodes.read import get_node, list_chips
from control_plane.store.models import Endpoint, Job, Node
from control_plane.store.repositories.jobs import JobFilter
from penstock.api.assignments import CheckpointCommit
from penstock.api.ids import NodeId
from penstock.api.queues import QueueLimits
from penstock.api.specs import JobSpec
from penstock.api.states import NodeIntent
from penstock.api.tokens import ProjectRequest, TokenRequest
from tests.fakes.cluster import ADMIN, Cluster, a_server

TASK = {"type": "task", "task": {"command": ["true"]}}
Call = Callable[[Cluster, str], Any]
JOB_CALLS: dict[str, Call] = {
    "get": lambda it, ref: get_job(it.deps, ADMIN, ref).id,
    "explain": lambda it, ref: explain_job(it.deps, ADMIN, ref).job,
    "events": lambda it, ref: list_job_events(it.deps, ADMIN, ref, 9, None).items[0].object_id,
    "replicas": lambda it, ref: list_replicas(it.deps, ADMIN, 9, None, job=ref),
    "checkpoints": lambda it, ref: list_checkpoints(it.deps, ADMIN, ref, 9, None),
    "logs": lambda it, ref: read_logs(it.deps, ADMIN, ref, Ask()),
    "cancel": lambda it, ref: cancel_job(it.deps, ADMIN, ref),
    "retry": lambda it, ref: retry_job(it.deps, ADMIN, ref, None),
}


def test_a_job_named_like_anothers_id_does_not_hide_it(cluster: Cluster) -> None:
    victim, thief = _job(cluster, "victim"), _job(cluster, "thief")
    _rename(cluster, Job, thief, victim)
    assert get_job(cluster.deps, ADMIN, victim).name == "victim"
    assert cancel_job(cluster.deps, ADMIN, victim) == victim
    assert get_job(cluster.deps, ADMIN, thief).state == "queued", "its own id still reaches it"


def test_the_id_of_a_job_that_is_gone_is_nobodys_name(cluster: Cluster) -> None:
    job, gone = _job(cluster, "a"), "job_" + "0" * 32
    _rename(cluster, Job, job, gone)
    for call in JOB_CALLS.values():
        with pytest.raises(NotFound):
            call(cluster, gone)


@pytest.mark.parametrize("noun", ["node", "queue", "endpoint", "chip", "cycle", "token"])
def test_an_id_of_another_kind_is_told_as_one(cluster: Cluster, noun: str) -> None:
    for call in JOB_CALLS.values():
        with pytest.raises(NotFound, match=f"that is the id of a {noun}"):
            call(cluster, f"{noun}_" + "0" * 32)
    with pytest.raises(NotFound, match="that is the id of a job"):
        get_node(cluster.deps, "job_" + "0" * 32)


@pytest.mark.parametrize("verb", JOB_CALLS)
def test_a_name_in_several_projects_is_refused_with_the_choices(
    cluster: Cluster, verb: str
) -> None:
    create_project(cluster.deps, ADMIN, ProjectRequest(name="blue"))
    ids = [_job(cluster, "same", project) for project in ("default", "blue")]
    cluster.cancel(ids[1])
    with pytest.raises(Conflict) as refused:
        JOB_CALLS[verb](cluster, "same")
    assert refused.value.code == "ambiguous_name"
    assert all(one in (refused.value.hint or "") for one in (*ids, "blue", "default"))
    assert get_job(cluster.deps, ADMIN, ids[0]).state == "queued"


def test_within_one_project_a_name_means_the_live_job_else_the_newest(cluster: Cluster) -> None:
    ids = [_job(cluster, "same")]
    cluster.cancel("same")
    ids.append(_job(cluster, "same"))
    assert get_job(cluster.deps, ADMIN, "same").id == ids[1]
    cluster.cancel("same")
    assert get_job(cluster.deps, ADMIN, "same").id == ids[1]


def test_a_node_named_like_anothers_id_is_not_drained_in_its_place(cluster: Cluster) -> None:
    good, bad = cluster.node("good"), cluster.node("bad")
    _rename(cluster, Node, bad.node_id, good.node_id)
    assert set_intent(cluster.deps, ADMIN, good.node_id, NodeIntent.CORDONED, None) == good.node_id
    chips = list_chips(cluster.deps, ADMIN, 9, None, node=good.node_id).items
    assert {chip.node for chip in chips} == {"good"}


def test_an_endpoint_is_found_by_id_alone_where_another_has_that_name(cluster: Cluster) -> None:
    ids = []
    for name in ("one", "two"):
        cluster.submit(a_server(name))
        ids.append(get_endpoint(cluster.deps, ADMIN, name).id)
    _rename(cluster, Endpoint, ids[1], ids[0])
    assert get_endpoint(cluster.deps, ADMIN, ids[0]).name == "one"


def test_an_endpoint_of_a_name_that_several_projects_have_is_refused(cluster: Cluster) -> None:
    create_project(cluster.deps, ADMIN, ProjectRequest(name="blue"))
    for project in ("default", "blue"):
        cluster.submit({**a_server("chat"), "project": project})
    with pytest.raises(Conflict, match="several projects"):
        get_endpoint(cluster.deps, ADMIN, "chat")


@pytest.mark.parametrize("prefix", ["job", "queue", "endpoint", "checkpoint", "node"])
def test_new_objects_take_no_name_that_looks_like_an_id(cluster: Cluster, prefix: str) -> None:
    name = f"{prefix}_" + "ab" * 16
    with pytest.raises(Invalid, match="looks like an id"):
        cluster.submit({**TASK, "name": name})
    server = a_server("chat")
    with pytest.raises(Invalid, match="looks like an id"):
        cluster.submit({**server, "serve": {**server["serve"], "endpoint": name}})
    with pytest.raises(Invalid, match="looks like an id"):
        put_queue(cluster.deps, ADMIN, name, QueueLimits(), None)


def test_a_queue_is_named_in_a_job_whether_by_name_or_by_id(cluster: Cluster) -> None:
    put_queue(cluster.deps, ADMIN, "night", QueueLimits(limits={"any": 1}), None)
    queue = get_queue(cluster.deps, "night")
    job = cluster.submit({**TASK, "name": "a", "queue": queue.id})
    assert get_job(cluster.deps, ADMIN, job).queue == "night"
    listed = list_jobs(cluster.deps, JobFilter(queue=queue.id), 9, None).items
    assert [one.id for one in listed] == [job]
    assert not put_queue(cluster.deps, ADMIN, queue.id, QueueLimits(), None), "the same queue"


def test_a_token_is_revoked_by_id_alone_where_another_has_that_name(cluster: Cluster) -> None:
    first = create_token(cluster.deps, ADMIN, TokenRequest(name="a", project="default"))
    with pytest.raises(NotFound, match="that is the id of a job"):
        revoke_token(cluster.deps, ADMIN, "job_" + "0" * 32)
    assert revoke_token(cluster.deps, ADMIN, first.id) == first.id


def test_a_job_of_before_named_like_an_id_is_retried_under_a_new_name(cluster: Cluster) -> None:
    old = _job(cluster, "old")
    _rename(cluster, Job, old, "job_" + "cd" * 16)
    cluster.cancel(old)
    new, created = retry_job(cluster.deps, ADMIN, old, None)
    assert created
    assert get_job(cluster.deps, ADMIN, new.id).name.startswith("task-")


@pytest.mark.parametrize(
    "model, told",
    [
        ("job:{checkpoint}", "no job: it is the id of a checkpoint"),
        ("checkpoint:{job}", "no checkpoint's id: it is the id of a job"),
        ("checkpoint:coder", "is no checkpoint's id"),
        ("job:{node}", "no job: it is the id of a node"),
        ("job:latest", "is no job"),
        ("job:", "is no job"),
        ("checkpoint:", "is no checkpoint's id"),
    ],
)
def test_a_model_is_a_job_or_a_checkpoint_as_its_prefix_says(
    cluster: Cluster, model: str, told: str
) -> None:
    ids = _trained(cluster)
    server = a_server("chat")
    wanted = {**server["serve"], "model": model.format(**ids)}
    with pytest.raises(Invalid, match=told):
        cluster.submit({**server, "serve": wanted})
    for good in ("job:coder", f"job:{ids['job']}", f"checkpoint:{ids['checkpoint']}"):
        spec = JobSpec.model_validate(
            {
                **server,
                "name": None,
                "serve": {**server["serve"], "model": good, "endpoint": f"e{len(good)}"},
            }
        )
        assert submit_job(cluster.deps, ADMIN, spec, None)[1]


def _job(cluster: Cluster, name: str, project: str = "default") -> str:
    return cluster.submit({**TASK, "name": name, "project": project})


def _trained(cluster: Cluster) -> dict[str, str]:
    agent = cluster.node("a")
    job = cluster.submit({"type": "train", "name": "coder", "resources": {"chips": 1}})
    cluster.steps(2)
    replica = list_replicas(cluster.deps, ADMIN, 9, None, job=job).items[0]
    commit = CheckpointCommit(
        replica_id=replica.id,
        epoch=1,
        step=1,
        uri=f"{cluster.deps.storage}/jobs/{job}/checkpoints/step-1-e1",
        manifest_sha256="a" * 64,
    )
    made = commit_checkpoint(cluster.deps, NodeId(agent.node_id), commit).checkpoint_id
    return {"job": job, "checkpoint": made, "node": agent.node_id}


def _rename(cluster: Cluster, model: Any, id_: str, name: str) -> None:
    """As an older server let anybody do."""

    def work(tx: Any) -> None:
        tx._session.execute(update(model).where(model.id == id_).values(name=name))
        if model is Job:
            job = tx.jobs.get(id_)
            tx._session.refresh(job)
            job.spec = {**job.spec, "name": name}

    cluster.deps.run(work)
