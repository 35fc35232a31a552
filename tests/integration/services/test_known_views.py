"""Views of jobs that hold nothing are made once, and are never older than what is stored."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from sqlalchemy import event

from control_plane.errors import NotFound
from control_plane.services.accounts.projects import create_project
from control_plane.services.deps import Caller
from control_plane.services.jobs.read import get_job, list_jobs
from control_plane.services.jobs.retry import retry_job
from control_plane.store.repositories.jobs import JobFilter
from penstock.api.ids import ProjectId, TokenId
from penstock.api.jobs import Job
from penstock.api.states import JobState, Role
from penstock.api.tokens import ProjectRequest
from tests.fakes.cluster import ADMIN, BIG, Cluster, a_task


@contextmanager
def _reads(cluster: Cluster) -> Iterator[list[str]]:
    """The queries that were asked."""
    asked: list[str] = []

    def note(*args: object) -> None:
        if str(args[2]).startswith("SELECT"):
            asked.append(str(args[2]))

    readers = cluster.deps.store.database.readers
    event.listen(readers, "before_cursor_execute", note)
    yield asked
    event.remove(readers, "before_cursor_execute", note)


def _page(cluster: Cluster) -> list[Job]:
    return list_jobs(cluster.deps, JobFilter(), 50, None).items


def test_what_has_not_changed_is_read_in_two_queries_and_ages(cluster: Cluster) -> None:
    for number in range(5):
        cluster.submit(a_task(f"job-{number}"))
    before = _page(cluster)
    cluster.clock.advance(7)
    with _reads(cluster) as asked:
        again = _page(cluster)
    assert len(asked) == 2, "ids, and their last changes"
    assert [it.waited_s for it in again] == [it.waited_s + 7 for it in before]
    assert [it.model_copy(update={"waited_s": 0}) for it in again] == [
        it.model_copy(update={"waited_s": 0}) for it in before
    ]


def test_every_step_of_a_jobs_life_is_seen(cluster: Cluster) -> None:
    """Also why it waits, which the scheduler writes, and what happens to its gangs only."""
    cluster.submit(a_task("one", 2))

    def seen() -> tuple[str, str, int, int]:
        job = get_job(cluster.deps, ADMIN, "one")
        assert _page(cluster) == [job]
        return job.state, job.reason, job.attempt, len(job.chips)

    assert seen() == (JobState.QUEUED, "submitted", 0, 0)
    cluster.cycle()
    assert seen() == (JobState.QUEUED, "no_nodes", 0, 0)
    cluster.node("a", {BIG: 2})
    cluster.cycle()
    assert seen()[::2] == (JobState.STARTING, 1)
    cluster.steps(2)
    assert (seen()[0], seen()[3]) == (JobState.RUNNING, 2)
    cluster.finish("one")
    cluster.steps(2)
    assert (seen()[0], seen()[3]) == (JobState.SUCCEEDED, 0)
    second = retry_job(cluster.deps, ADMIN, "one", None)[0]
    assert _page(cluster)[0].id == second.id


def test_what_is_remembered_is_shown_to_nobody_who_may_not_see_it(cluster: Cluster) -> None:
    job_id = cluster.submit(a_task("one"))
    assert get_job(cluster.deps, ADMIN, job_id).id == job_id
    theirs = create_project(cluster.deps, ADMIN, ProjectRequest(name="theirs"))
    other = Caller(TokenId("token_1"), "they", Role.MEMBER, ProjectId(theirs.id), "theirs")
    for ref in (job_id, "one"):
        with pytest.raises(NotFound):
            get_job(cluster.deps, other, ref)
