"""The synchronous client against a real HTTP server that misbehaves on request."""

from __future__ import annotations

import pytest

from penstock.api.specs import JobSpec, TaskSpec
from penstock.api.states import JobState, JobType, NodeIntent, Role
from penstock.api.tokens import TokenRequest
from penstock.client import ApiError, Client, ConnectionFailed, WaitTimeout
from tests.fakes.api_server import FakeServer
from tests.fakes.api_state import MEMBER_TOKEN, TOKEN

ECHO = JobSpec(type=JobType.TASK, task=TaskSpec(command=("echo", "hello")))
SLEEP = {"type": "task", "name": "sleeper", "task": {"command": ["sleep", "60"]}}


def test_a_submitted_job_comes_back_as_its_type(client: Client) -> None:
    job = client.jobs.submit(ECHO)
    assert (job.state, job.exit_code) == (JobState.SUCCEEDED, 0)
    assert client.jobs.get(job.id) == client.jobs.get(job.name) == job
    assert client.jobs.log_text(job.id) == "hello\n"
    assert b"".join(client.jobs.download_logs(job.id, tail=1)) == b"hello\n"
    assert [line.text for line in client.jobs.follow_logs(job.id)] == ["hello"]


def test_a_download_is_tried_again_before_its_first_byte_and_never_after(
    client: Client, server: FakeServer
) -> None:
    job = client.jobs.submit(SLEEP)
    server.state.say(job, "x" * 1_000_000)
    server.state.faults.busy = 2
    assert len(client.jobs.log_text(job.id)) == 1_000_001
    server.state.faults.cut_texts_after = [500_000]
    got: list[bytes] = []
    with pytest.raises(ConnectionFailed):
        got.extend(client.jobs.download_logs(job.id))
    assert 0 < len(b"".join(got)) <= 500_000
    with pytest.raises(ApiError) as missing:
        list(client.jobs.download_logs("nobody"))
    assert missing.value.status == 404


def test_a_lost_answer_to_a_submission_is_asked_for_again_and_makes_one_job(
    client: Client, server: FakeServer
) -> None:
    server.state.faults.lose_answers = 2
    job = client.jobs.submit(ECHO)
    assert list(server.state.jobs) == [job.id]
    keys = {headers["Idempotency-Key"] for _, _, headers in server.state.requests}
    assert len(server.state.requests) == 3
    assert len(keys) == 1


def test_a_lost_answer_to_what_is_not_repeatable_is_an_error(
    client: Client, server: FakeServer
) -> None:
    server.state.faults.lose_answers = 1
    with pytest.raises(ConnectionFailed):
        client.tokens.create(TokenRequest(name="t", role=Role.MEMBER, project="default"))
    assert len(server.state.tokens) == 1


def test_a_busy_server_is_asked_again(client: Client, server: FakeServer) -> None:
    server.state.faults.busy = 2
    assert client.whoami().role == Role.ADMIN


def test_another_body_under_the_same_key_is_a_conflict(client: Client) -> None:
    client.jobs.submit(ECHO, idempotency_key="k")
    with pytest.raises(ApiError) as caught:
        client.jobs.submit(SLEEP, idempotency_key="k")
    assert (caught.value.status, caught.value.code) == (409, "idempotency_key_reused")


def test_lists_are_walked_page_by_page(client: Client, server: FakeServer) -> None:
    ids = [client.jobs.submit(ECHO).id for _ in range(5)]
    server.state.requests.clear()
    assert [job.id for job in client.jobs.list(limit=2)] == ids[::-1]
    assert len(server.state.requests) == 3


def test_errors_carry_the_problem(client: Client) -> None:
    with pytest.raises(ApiError) as caught:
        client.jobs.submit({"type": "task", "task": {"command": ["a"]}, "quue": "x"})
    problem = caught.value.problem
    assert (problem.status, problem.code) == (422, "invalid")
    assert problem.errors[0].did_you_mean == "queue"


def test_a_wrong_token_is_denied_and_a_member_may_not_administer(server: FakeServer) -> None:
    with Client(server.url, "wrong") as nobody, pytest.raises(ApiError) as caught:
        nobody.whoami()
    assert caught.value.status == 401
    with Client(server.url, MEMBER_TOKEN) as member, pytest.raises(ApiError) as denied:
        list(member.tokens.list())
    assert denied.value.status == 403


def test_nobody_listening_is_a_connection_failure(server: FakeServer) -> None:
    server.stop()
    waits: list[float] = []
    client = Client(server.url, TOKEN, sleep=waits.append)
    with client, pytest.raises(ConnectionFailed, match="refused"):
        client.whoami()
    assert len(waits) == 3


def test_waiting_ends_with_the_job_or_with_the_time(client: Client, server: FakeServer) -> None:
    job = client.jobs.submit(SLEEP)
    with pytest.raises(WaitTimeout, match="is running"):
        client.jobs.wait("sleeper", timeout_s=0.05, poll_s=0.01)
    server.state.end(job, JobState.FAILED, 3)
    assert client.jobs.wait("sleeper").exit_code == 3


def test_every_noun_answers_with_its_type(client: Client) -> None:
    client.jobs.submit({**SLEEP, "task": {"command": ["sleep", "1"], "replicas": 2}})
    assert client.plan(ECHO).fits
    assert client.jobs.explain("sleeper").unblock
    assert [replica.rank for replica in client.jobs.replicas("sleeper")] == [0, 1]
    assert list(client.jobs.checkpoints("sleeper")) == []
    assert [event.seq for event in client.jobs.events("sleeper")] == [1, 2, 3, 4]
    assert client.nodes.drain("node-a").intent.state == NodeIntent.DRAINING
    assert client.nodes.uncordon("node-a").intent.state == NodeIntent.SCHEDULABLE
    assert [node.name for node in client.nodes.list()] == ["node-a"]
    assert client.nodes.join_token().token
    assert [chip.emulated for chip in client.chips.list()] == [False, True]
    assert [one.stands_for for one in client.chips.types()] == ["a100"]
    assert [queue.name for queue in client.queues.list()] == ["default"]
    assert [one.model for one in client.endpoints.list()] == ["tiny"]
    assert [project.name for project in client.projects.list()] == ["default"]
    assert client.projects.create("alpha").name == "alpha"
    assert client.jobs.cancel("sleeper").state == JobState.CANCELLED
    assert client.jobs.retry("sleeper").retry_of is not None
    for empty in (client.replicas(), client.cycles(), client.events()):
        assert list(empty) == []


def test_a_revoked_token_is_gone_from_the_list(client: Client) -> None:
    made = client.tokens.create(TokenRequest(name="t", role=Role.MEMBER, project="default"))
    assert made.secret
    assert [token.id for token in client.tokens.list()] == [made.id]
    client.tokens.revoke(made.id)
    assert list(client.tokens.list()) == []
