"""Submitting: what is accepted is there, once, whoever asks how often and at the same time."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import TypeVar

import pytest

from control_plane.errors import Conflict, Denied, Invalid, NotFound
from control_plane.services.accounts.projects import create_project
from control_plane.services.deps import Caller
from control_plane.services.jobs.retry import retry_job
from control_plane.services.jobs.submit import submit_job
from penstock.api.ids import TokenId
from penstock.api.specs import JobSpec
from penstock.api.states import JobState, Role
from penstock.api.tokens import ProjectRequest
from tests.fakes.cluster import ADMIN, Cluster, a_server, a_task

NUM_THREADS = 6
ResultT = TypeVar("ResultT")


def test_the_same_key_with_the_same_body_is_the_same_job(cluster: Cluster) -> None:
    first = cluster.submit(a_task("one"), key="k")
    assert cluster.submit(a_task("one"), key="k") == first
    cluster.cancel("one")
    assert cluster.submit(a_task("one"), key="k") == first, "even when it has ended"


def test_the_same_key_with_another_body_is_refused(cluster: Cluster) -> None:
    cluster.submit(a_task("one"), key="k")
    with pytest.raises(Conflict) as caught:
        cluster.submit(a_task("one", priority=51), key="k")
    assert caught.value.code == "idempotency_key_reused"


def test_keys_belong_to_their_project(cluster: Cluster) -> None:
    create_project(cluster.deps, ADMIN, ProjectRequest(name="other"))
    first = cluster.submit(a_task("one"), key="k")
    assert cluster.submit(a_task("one", project="other"), key="k") != first


def test_one_job_comes_of_one_key_however_many_ask_at_once(cluster: Cluster) -> None:
    made = at_once(lambda number: cluster.submit(a_task("one"), key="k"))
    assert len(set(made)) == 1
    assert cluster.events(str(made[0])) == ["job.queued"]


def test_one_of_many_that_want_a_name_at_once_gets_it(cluster: Cluster) -> None:
    made = at_once(lambda number: cluster.submit(a_task("one")))
    refused = [it for it in made if isinstance(it, Conflict)]
    assert {it.code for it in refused} == {"job_name_taken"}
    assert len(refused) == NUM_THREADS - 1


def test_one_of_many_that_want_an_endpoint_at_once_gets_it(cluster: Cluster) -> None:
    serve = {"model": "/m", "endpoint": "chat"}
    made = at_once(lambda number: cluster.submit(a_server(f"s{number}", serve=serve)))
    refused = [it for it in made if isinstance(it, Conflict)]
    assert {it.code for it in refused} == {"endpoint_name_taken"}
    assert len(refused) == NUM_THREADS - 1


def test_a_name_is_free_again_once_its_job_has_ended(cluster: Cluster) -> None:
    first = cluster.submit(a_task("one"))
    cluster.cancel("one")
    second = cluster.submit(a_task("one"))
    assert cluster.job("one").id == second != first


def test_a_retried_job_is_a_new_one_that_names_the_old(cluster: Cluster) -> None:
    first = cluster.submit(a_task("one"))
    with pytest.raises(Conflict, match="has not ended"):
        retry_job(cluster.deps, ADMIN, "one", None)
    cluster.cancel("one")
    second = retry_job(cluster.deps, ADMIN, first, None)[0].id
    assert (cluster.job(second).retry_of, cluster.state(second)) == (first, JobState.QUEUED)
    assert cluster.state(first) is JobState.CANCELLED


def test_a_retry_that_is_repeated_with_its_key_makes_one_job(cluster: Cluster) -> None:
    first = cluster.submit(a_task("one"))
    cluster.cancel("one")
    second, is_new = retry_job(cluster.deps, ADMIN, "one", "k")
    assert is_new
    again, is_new = retry_job(cluster.deps, ADMIN, "one", "k")
    assert (again.id, is_new) == (second.id, False)
    cluster.cancel("one")
    again, is_new = retry_job(cluster.deps, ADMIN, "one", "k")
    assert (again.id, again.state, is_new) == (second.id, JobState.CANCELLED, False)
    with pytest.raises(Conflict, match="used with another body"):
        retry_job(cluster.deps, ADMIN, first, "k")
    with pytest.raises(Conflict, match="used with another body"):
        submit_job(cluster.deps, ADMIN, JobSpec.model_validate(a_task("two")), "k")


def test_of_many_retries_at_once_with_one_key_one_makes_the_job(cluster: Cluster) -> None:
    cluster.submit(a_task("one"))
    cluster.cancel("one")
    made = at_once(lambda _: retry_job(cluster.deps, ADMIN, "one", "k"))
    assert len({it[0].id for it in made if not isinstance(it, Conflict)}) == 1
    assert [it for it in made if isinstance(it, Conflict)] == []


@pytest.mark.parametrize(
    "url",
    ["http://127.0.0.1:9/x", "http://localhost/", "https://[::1]/", "http://10.1/", "http://"],
)
def test_a_webhook_that_would_be_dropped_is_refused(cluster: Cluster, url: str) -> None:
    with pytest.raises(Invalid) as caught:
        cluster.submit(a_task("one", notify={"webhook": url}))
    (wrong,) = caught.value.violations
    assert (wrong.pointer, wrong.code) == ("/notify/webhook", "not_public")
    cluster.submit(a_task("one", notify={"webhook": "https://hooks.example/x"}))


def test_another_tenants_project_is_as_if_it_were_not(cluster: Cluster) -> None:
    create_project(cluster.deps, ADMIN, ProjectRequest(name="theirs"))
    mine = create_project(cluster.deps, ADMIN, ProjectRequest(name="mine"))
    member = Caller(TokenId("token_1"), "me", Role.MEMBER, mine.id, "mine")
    spec = JobSpec.model_validate(a_task("one", project="theirs"))
    with pytest.raises(NotFound):
        submit_job(cluster.deps, member, spec, None)
    viewer = Caller(TokenId("token_2"), "eye", Role.VIEWER, mine.id, "mine")
    with pytest.raises(Denied):
        submit_job(cluster.deps, viewer, JobSpec.model_validate(a_task("one")), None)


def at_once(work: Callable[[int], ResultT]) -> list[ResultT | Conflict]:
    """What each of several threads got that began together."""
    gate = Barrier(NUM_THREADS)

    def attempt(number: int) -> ResultT | Conflict:
        gate.wait(10)
        try:
            return work(number)
        except Conflict as error:
            return error

    with ThreadPoolExecutor(NUM_THREADS) as threads:
        return list(threads.map(attempt, range(NUM_THREADS)))
