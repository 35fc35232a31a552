"""The synchronous client against the real application, over a network that fails on request."""

from __future__ import annotations

import pytest

from penstock.api.specs import JobSpec, TaskSpec
from penstock.api.states import JobState, JobType, NodeIntent, Role
from penstock.api.tokens import TokenRequest
from penstock.client import ApiError, Client, ConnectionFailed, WaitTimeout
from tests.fakes.cloud import Cloud, Network
from tests.fakes.cluster import a_server

ECHO = JobSpec(type=JobType.TASK, task=TaskSpec(command=("echo", "hello")))
SLEEP = {"type": "task", "name": "sleeper", "task": {"command": ["sleep", "60"]}}


def test_a_submitted_job_comes_back_as_its_type(client: Client) -> None:
    made = client.jobs.submit(ECHO)
    job = client.jobs.wait(made.id)
    assert (made.state, job.state, job.exit_code) == (JobState.QUEUED, JobState.SUCCEEDED, 0)
    assert client.jobs.get(job.id) == client.jobs.get(job.name) == job
    assert client.jobs.log_text(job.id) == "hello\n"
    assert b"".join(client.jobs.download_logs(job.id, tail=1)) == b"hello\n"
    assert [line.text for line in client.jobs.follow_logs(job.id)] == ["hello"]


def test_a_download_is_tried_again_before_its_first_byte_and_never_after(
    client: Client, cloud: Cloud, network: Network
) -> None:
    job = client.jobs.submit(SLEEP)
    cloud.say("sleeper", "x" * 1_000_000)
    network.busy = 2
    assert len(client.jobs.log_text(job.id)) == 1_000_001
    network.cut_after = [500_000]
    got: list[bytes] = []
    with pytest.raises(ConnectionFailed):
        got.extend(client.jobs.download_logs(job.id))
    assert 0 < len(b"".join(got)) <= 500_000
    with pytest.raises(ApiError) as missing:
        list(client.jobs.download_logs("nobody"))
    assert missing.value.status == 404


def test_a_lost_answer_to_a_submission_is_asked_for_again_and_makes_one_job(
    client: Client, network: Network
) -> None:
    network.lose_answers = 2
    job = client.jobs.submit(ECHO)
    keys = [headers["idempotency-key"] for _, _, headers in network.requests]
    assert (len(keys), len(set(keys))) == (3, 1)
    assert [it.id for it in client.jobs.list()] == [job.id]


def test_a_lost_answer_to_what_is_not_repeatable_is_an_error(
    client: Client, network: Network
) -> None:
    network.lose_answers = 1
    with pytest.raises(ConnectionFailed):
        client.tokens.create(TokenRequest(name="t", role=Role.MEMBER, project="default"))
    assert [it.name for it in client.tokens.list()] == ["admin", "member", "t"]


def test_a_busy_server_is_asked_again(client: Client, network: Network) -> None:
    network.busy = 2
    assert client.whoami().role == Role.ADMIN


def test_another_body_under_the_same_key_is_a_conflict(client: Client) -> None:
    client.jobs.submit(ECHO, idempotency_key="k")
    with pytest.raises(ApiError) as caught:
        client.jobs.submit(SLEEP, idempotency_key="k")
    assert (caught.value.status, caught.value.code) == (409, "idempotency_key_reused")


def test_lists_are_walked_page_by_page(client: Client, network: Network) -> None:
    ids = [client.jobs.submit(ECHO).id for _ in range(5)]
    network.requests.clear()
    assert [job.id for job in client.jobs.list(limit=2)] == ids[::-1]
    assert len(network.requests) == 3


def test_errors_carry_the_problem(client: Client) -> None:
    with pytest.raises(ApiError) as caught:
        client.jobs.submit({"type": "task", "task": {"command": ["a"]}, "quue": "x"})
    problem = caught.value.problem
    assert (problem.status, problem.code) == (422, "invalid")
    assert problem.errors[0].did_you_mean == "queue"


def test_a_wrong_token_is_denied_and_a_member_may_not_administer(
    cloud: Cloud, cloud_url: str
) -> None:
    with Client(cloud_url, "wrong") as nobody, pytest.raises(ApiError) as caught:
        nobody.whoami()
    assert caught.value.status == 401
    with Client(cloud_url, cloud.member) as member, pytest.raises(ApiError) as denied:
        list(member.tokens.list())
    assert denied.value.status == 403


def test_nobody_listening_is_a_connection_failure() -> None:
    waits: list[float] = []
    client = Client("http://127.0.0.1:1", sleep=waits.append)
    with client, pytest.raises(ConnectionFailed, match="refused"):
        client.whoami()
    assert len(waits) == 3


def test_waiting_ends_with_the_job_or_with_the_time(client: Client, cloud: Cloud) -> None:
    client.jobs.submit(SLEEP)
    with pytest.raises(WaitTimeout, match="is running"):
        client.jobs.wait("sleeper", timeout_s=0.05, poll_s=0.01)
    cloud.end("sleeper", 3)
    assert client.jobs.wait("sleeper").exit_code == 3


def test_every_noun_answers_with_its_type(client: Client) -> None:
    client.jobs.submit(a_server("chat"))
    client.jobs.submit({**SLEEP, "task": {"command": ["sleep", "1"], "replicas": 2}})
    assert client.plan(ECHO).fits
    assert client.jobs.explain("sleeper").state == JobState.RUNNING
    assert {replica.rank for replica in client.jobs.replicas("sleeper")} == {0, 1}
    assert list(client.jobs.checkpoints("sleeper")) == []
    kinds = [event.type for event in client.jobs.events("sleeper")]
    assert [it for it in kinds if it.startswith("job.")] == [
        "job.queued",
        "job.starting",
        "job.running",
    ]
    assert client.nodes.drain("node-a").intent.state == NodeIntent.DRAINING
    assert client.nodes.uncordon("node-a").intent.state == NodeIntent.SCHEDULABLE
    assert [node.name for node in client.nodes.list()] == ["node-a"]
    assert client.nodes.join_token().token
    assert {chip.emulated for chip in client.chips.list()} == {True}
    assert [one.total for one in client.chips.types()] == [8]
    assert [queue.name for queue in client.queues.list()] == ["default"]
    assert [one.model for one in client.endpoints.list()] == ["/models/tiny"]
    assert client.projects.create("alpha").name == "alpha"
    assert {project.name for project in client.projects.list()} == {"default", "alpha"}
    client.jobs.cancel("sleeper")
    assert client.jobs.wait("sleeper").state == JobState.CANCELLED
    assert client.jobs.retry("sleeper").retry_of is not None
    for some in (client.replicas(), client.cycles(), client.events()):
        assert list(some)


def test_a_revoked_token_is_listed_as_one(client: Client) -> None:
    made = client.tokens.create(TokenRequest(name="t", role=Role.MEMBER, project="default"))
    assert made.secret
    client.tokens.revoke(made.id)
    assert [it.id for it in client.tokens.list() if it.revoked_at is not None] == [made.id]
