"""What a waiting job's owner is told: why, how the last attempt ended, and nobody else's names."""

from __future__ import annotations

import pytest

from control_plane.errors import Invalid
from control_plane.services.accounts.projects import create_project
from control_plane.services.deps import Caller
from control_plane.services.jobs.explain import explain_job
from control_plane.services.jobs.plan import plan_job
from control_plane.services.jobs.read import get_job
from control_plane.services.jobs.read_events import list_job_events
from control_plane.services.jobs.submit import submit_job
from penstock.api.ids import TokenId
from penstock.api.plans import Explanation
from penstock.api.specs import JobSpec
from penstock.api.states import ExitReason, JobState, Role
from penstock.api.tokens import ProjectRequest
from tests.fakes.cluster import ADMIN, BIG, Cluster, a_server, a_task

SECRET = "our-secret-model"


def _why(cluster: Cluster, name: str, caller: Caller = ADMIN) -> Explanation:
    return explain_job(cluster.deps, caller, name)


def test_a_job_that_backs_off_says_how_its_last_attempt_ended(cluster: Cluster) -> None:
    cluster.node("a")
    cluster.submit(a_task("brittle", retry={"limit": 3}))
    cluster.steps(3)
    cluster.finish("brittle", ExitReason.ERROR, code=3)
    cluster.cycle()
    answer = _why(cluster, "brittle")
    assert answer.code == "backing_off"
    assert answer.sentence.startswith("brittle: its last attempt failed")
    past = "attempt 1 ended (error, exit code 3): rank 0 on node a: ended: error"
    assert answer.sentence.endswith(f"; {past} (failures so far: 1 by itself, 3 tries left)")


def test_the_tries_that_are_left_are_counted_down_to_the_last(cluster: Cluster) -> None:
    cluster.node("a")
    cluster.submit(a_task("brittle", retry={"limit": 2}))
    told = []
    for _ in range(2):
        for _ in range(40):
            cluster.step()
            if cluster.state("brittle") is JobState.RUNNING:
                break
        told.append(_why(cluster, "brittle").sentence)
        cluster.finish("brittle", ExitReason.ERROR, code=3)
        told.append(_why(cluster, "brittle").sentence)
    endings = [it.rpartition("(failures so far: ")[2] for it in told[1:]]
    assert endings == [
        "1 by itself, 2 tries left)",
        "1 by itself, 1 try left after this one)",
        "2 by itself, 1 try left)",
    ]


def test_a_server_that_fails_to_start_says_how_many_starts_are_left(cluster: Cluster) -> None:
    cluster.node("a")
    cluster.submit(a_server("model"))
    cluster.steps(3)
    cluster.finish("model", ExitReason.ERROR)
    assert _why(cluster, "model").sentence.endswith("1 by itself, 5 tries left)")
    cluster.steps(4)
    assert _why(cluster, "model").sentence.endswith("1 by itself)"), "it has answered again"


def test_faults_of_both_kinds_have_tries_of_their_own(cluster: Cluster) -> None:
    cluster.node("a")
    cluster.submit(a_task("brittle", retry={"limit": 1}))
    cluster.steps(3)
    cluster.finish("brittle", ExitReason.KILLED)
    cluster.steps(6)
    cluster.finish("brittle", ExitReason.ERROR, code=3)
    assert _why(cluster, "brittle").sentence.endswith(
        "(failures so far: 1 by itself, 1 try left; 1 by the infrastructure, 5 tries left)"
    )


def test_a_serving_replica_that_backs_off_says_so_too(cluster: Cluster) -> None:
    cluster.node("a")
    cluster.submit(a_server("model", 2))
    cluster.steps(3)
    cluster.finish("model", ExitReason.KILLED)
    cluster.cycle()
    answer = _why(cluster, "model")
    assert "attempt 1 ended (killed, exit code 1): replica 0 on node a" in answer.sentence
    assert "1 by the infrastructure" in answer.sentence
    assert answer.sentence.startswith(
        "model: 1 of 2 replicas serve; replica 0: its last attempt failed: it waits until"
    )


def test_a_serving_job_of_which_nothing_runs_does_not_say_that_some_of_it_serves(
    cluster: Cluster,
) -> None:
    cluster.node("a")
    cluster.submit(a_server("model"))
    cluster.steps(3)
    cluster.finish("model", ExitReason.KILLED)
    cluster.cycle()
    assert _why(cluster, "model").sentence.startswith("model: its last attempt failed")


def test_a_serving_job_says_how_many_of_its_replicas_are_ready(cluster: Cluster) -> None:
    cluster.node("a")
    cluster.submit(a_server("model", 2))
    cluster.steps(3)
    assert _why(cluster, "model").sentence == "model is running: 2 of 2 replicas run"
    first, second = cluster.replicas("model")
    agent = cluster.agent_of(first)
    agent.run(first.id, ready=False)
    agent.report()
    one = "model is running: 2 of 2 replicas run, 1 is ready"
    assert _why(cluster, "model").sentence == one
    agent.run(second.id, ready=False)
    agent.report()
    assert _why(cluster, "model").sentence == "model is running: 2 of 2 replicas run, 0 are ready"


def test_a_replica_that_waits_beside_one_that_is_not_ready_claims_no_service(
    cluster: Cluster,
) -> None:
    cluster.node("a", {BIG: 1})
    cluster.submit(a_server("model", 2))
    cluster.steps(3)
    (running,) = cluster.replicas("model")
    assert _why(cluster, "model").sentence.startswith("model: 1 of 2 replicas serve; replica 1: ")
    agent = cluster.agent_of(running)
    agent.run(running.id, ready=False)
    agent.report()
    sentence = _why(cluster, "model").sentence
    assert sentence.startswith("model: 1 of 2 replicas run, 0 are ready; replica 1: asks for 1")


def test_a_running_job_says_which_attempt_it_is_and_why_the_last_one_ended(
    cluster: Cluster,
) -> None:
    cluster.node("a")
    cluster.submit(a_task("brittle", retry={"limit": 3}))
    cluster.steps(3)
    cluster.finish("brittle", ExitReason.ERROR, code=3)
    waiting = cluster.job("brittle").message
    assert waiting.startswith(
        "attempt 1 ended: rank 0 on node a: ended: error; attempt 2 can start"
    )
    cluster.cycle()
    assert cluster.job("brittle").message == waiting, "a back-off does not wipe the cause away"
    cluster.steps(4)
    assert _why(cluster, "brittle").sentence == (
        "brittle is running: 1 of 1 replicas run; it is in attempt 2: attempt 1 ended (error, "
        "exit code 3): rank 0 on node a: ended: error (failures so far: 1 by itself, "
        "2 tries left after this one)"
    )
    cluster.finish("brittle")
    assert _why(cluster, "brittle").sentence == (
        "brittle is succeeded: all replicas completed; it took 2 attempts"
    )


def test_a_job_that_waits_again_for_chips_keeps_its_cause(cluster: Cluster) -> None:
    cluster.node("a", {BIG: 1})
    cluster.submit(a_task("brittle", retry={"limit": 3}))
    cluster.steps(3)
    cluster.finish("brittle", ExitReason.ERROR, code=3)
    cluster.submit(a_task("quick"))
    cluster.cycle()
    cluster.clock.advance(5)
    cluster.cycle()
    message = cluster.job("brittle").message
    assert message.startswith("waits (")
    assert "attempt 1 ended (error, exit code 3): rank 0 on node a" in message


def test_a_preempted_job_that_waits_says_who_took_its_place(cluster: Cluster) -> None:
    cluster.node("a", {BIG: 1})
    cluster.submit(a_task("low", priority=10))
    cluster.steps(3)
    cluster.submit(a_task("high", priority=90))
    cluster.steps(4)
    sentence = _why(cluster, "low").sentence
    assert "attempt 1 was preempted: makes room for high, whose priority is 90" in sentence


def test_names_of_other_projects_jobs_stay_theirs(cluster: Cluster) -> None:
    project = create_project(cluster.deps, ADMIN, ProjectRequest(name="mine"))
    me = Caller(TokenId("token_1"), "me", Role.MEMBER, project.id, "mine")
    cluster.node("a", {BIG: 1})
    for name in (SECRET, f"{SECRET}-2"):
        cluster.submit(a_task(name, priority=90))
    cluster.steps(3)
    submit_job(cluster.deps, me, JobSpec.model_validate(a_task("mine", priority=10)), None)
    cluster.steps(3)
    answer = _why(cluster, "mine", me)
    dry_run = plan_job(cluster.deps, me, JobSpec.model_validate(a_task("next", priority=10)))
    assert SECRET not in answer.model_dump_json() + dry_run.model_dump_json()
    assert answer.ahead == ["a job of another project"]
    assert "a job of another project (priority 90) holds 1" in answer.sentence
    assert SECRET not in list_job_events(cluster.deps, me, "mine", 100, None).model_dump_json()
    assert SECRET not in get_job(cluster.deps, me, "mine").model_dump_json()


def test_a_job_of_another_project_is_not_stopped_whatever_its_priority(cluster: Cluster) -> None:
    project = create_project(cluster.deps, ADMIN, ProjectRequest(name="mine"))
    me = Caller(TokenId("token_1"), "me", Role.MEMBER, project.id, "mine")
    cluster.node("a", {BIG: 1})
    submit_job(cluster.deps, me, JobSpec.model_validate(a_task("mine", priority=10)), None)
    cluster.steps(3)
    cluster.submit(a_task("rush", priority=100))
    cluster.steps(3)
    assert (cluster.state("mine"), cluster.state("rush")) == (JobState.RUNNING, JobState.QUEUED)


def test_a_dry_run_writes_nothing_and_a_members_priority_is_capped(cluster: Cluster) -> None:
    project = create_project(cluster.deps, ADMIN, ProjectRequest(name="mine"))
    me = Caller(TokenId("token_1"), "me", Role.MEMBER, project.id, "mine")
    cluster.node("a", {BIG: 1})
    spec = JobSpec.model_validate(a_server("next", 2, priority=80))
    assert plan_job(cluster.deps, me, spec).fits is False
    assert plan_job(cluster.deps, ADMIN, JobSpec.model_validate(a_task("t", priority=100))).fits
    too_high = JobSpec.model_validate(a_task("t", priority=81))
    with pytest.raises(Invalid, match="at most 80") as refused:
        plan_job(cluster.deps, me, too_high)
    assert refused.value.code == "priority_too_high"
    with pytest.raises(Invalid, match="at most 80"):
        submit_job(cluster.deps, me, too_high, None)
