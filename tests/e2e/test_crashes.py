"""kill -9 of the server and of an agent under running jobs: nothing is lost, nothing runs twice."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from penstock.api.jobs import Job
from penstock.client.errors import ClientError
from tests.e2e import processes
from tests.e2e.processes import eventually
from tests.e2e.rig import Cloud, a_cloud

COUNT = 'i=0; while [ ! -e "{end}" ]; do echo line $i; i=$((i+1)); sleep 0.03; done; exit {code}'
STORM = 40


@pytest.fixture(scope="module")
def cloud() -> Iterator[Cloud]:
    with a_cloud() as made:
        made.add_node("a", "emulated-a100:2")
        yield made


def counting(cloud: Cloud, name: str, code: int = 0) -> str:
    """A job that prints numbered lines until it may end; its replica's id once it runs."""
    script = COUNT.format(end=cloud.home / f"{name}.end", code=code)
    cloud.submit(name=name, command=["sh", "-c", script])
    cloud.await_job(name, "running")
    eventually(lambda: "line 20\n" in cloud.client.jobs.log_text(name), f"{name} prints")
    return cloud.replicas(name)[0].id


def let_end(cloud: Cloud, name: str) -> None:
    (cloud.home / f"{name}.end").touch()


def ended(cloud: Cloud, name: str, replica: str) -> Job:
    """The job once it has ended: of one attempt, of this replica, its whole log without a gap."""
    job = cloud.client.jobs.wait(name, 60)
    assert job.attempt == 1
    assert [it.id for it in cloud.client.jobs.replicas(name)] == [replica]
    assert_gapless(cloud.whole_log(name))
    return job


def assert_gapless(lines: list[str]) -> None:
    assert len(lines) > 20
    assert lines == [f"line {number}" for number in range(len(lines))]


def test_a_killed_server_costs_a_running_job_nothing_and_its_log_has_no_gap(cloud: Cloud) -> None:
    replica = counting(cloud, "steady")
    with ThreadPoolExecutor(1) as pool:
        following = pool.submit(cloud.whole_log, "steady")
        try:
            first = processes.of_replica(replica)[0]
            time.sleep(3.0)  # once begun, a stream outlives the server
            with cloud.server_killed():
                time.sleep(1.0)
                assert processes.of_replica(replica)[0] == first
            time.sleep(1.0)
        finally:
            let_end(cloud, "steady")
        followed = following.result(60)
    job = ended(cloud, "steady", replica)
    assert (job.state, job.exit_code) == ("succeeded", 0)
    assert_gapless(followed)
    assert followed == cloud.whole_log("steady"), "followed over the restart, or read afterwards"


def test_every_job_accepted_in_a_storm_is_there_once_though_the_server_was_killed_in_it(
    cloud: Cloud,
) -> None:
    until = time.monotonic() + 60
    with ThreadPoolExecutor(6) as pool:
        accepted = [pool.submit(_submit_until_answered, cloud, it, until) for it in range(STORM)]
        eventually(lambda: sum(one.done() for one in accepted) >= STORM // 3, "a third is in")
        with cloud.server_killed():
            num_before = sum(one.done() for one in accepted)
        jobs = [one.result(60) for one in accepted]
    assert num_before < STORM, "the storm was over before the kill"
    ids = [job.id for job in jobs]
    assert len(set(ids)) == STORM
    there = [it.id for it in cloud.client.jobs.list(label="storm=yes", limit=500)]
    assert sorted(there) == sorted(ids)
    done = [cloud.client.jobs.wait(job, 120) for job in ids]
    assert {(job.state, job.exit_code, job.attempt) for job in done} == {("succeeded", 0, 1)}
    for job in done:
        assert cloud.whole_log(job.id) == [job.name], "it ran once"


def test_a_replica_outlives_its_killed_agent_and_the_next_agent_adopts_it(cloud: Cloud) -> None:
    replica = counting(cloud, "adopted", code=5)
    first = processes.of_replica(replica)[0]
    agent = cloud.nodes["a"].daemon
    agent.kill()
    time.sleep(1.0)
    assert processes.of_replica(replica)[0] == first
    cloud.restart_agent("a")
    adopted = f'"replica_id": "{replica}", "state": "running", "event": "replica_adopted"'
    eventually(lambda: adopted in agent.log.read_text(encoding="utf-8"), "it is adopted")
    assert processes.of_replica(replica)[0] == first
    let_end(cloud, "adopted")
    job = ended(cloud, "adopted", replica)
    assert (job.state, job.exit_code, job.exit_reason) == ("failed", 5, "error")


def test_a_replica_that_ends_while_no_agent_lives_is_told_by_the_next_one(cloud: Cloud) -> None:
    replica = counting(cloud, "unseen", code=6)
    cloud.nodes["a"].daemon.kill()
    let_end(cloud, "unseen")
    eventually(lambda: not processes.of_replica(replica), "it has ended")
    cloud.restart_agent("a")
    job = ended(cloud, "unseen", replica)
    assert (job.state, job.exit_code) == ("failed", 6)


def test_server_and_agent_killed_together_lose_nothing(cloud: Cloud) -> None:
    replica = counting(cloud, "both")
    with cloud.server_killed():
        cloud.nodes["a"].daemon.kill()
        time.sleep(0.5)
        cloud.restart_agent("a")
    let_end(cloud, "both")
    job = ended(cloud, "both", replica)
    assert (job.state, job.exit_code) == ("succeeded", 0)


def _submit_until_answered(cloud: Cloud, number: int, until: float) -> Job:
    """What a careful client does: the same key again until an answer comes."""
    spec = {
        "type": "task", "name": f"storm-{number}", "labels": {"storm": "yes"},
        "task": {"command": ["sh", "-c", "echo $PENSTOCK_JOB_NAME"]}, "resources": {"cores": 0.25},
    }  # fmt: skip
    while True:
        try:
            return cloud.client.jobs.submit(spec, idempotency_key=f"storm-key-{number}")
        except ClientError:
            assert time.monotonic() < until
            time.sleep(0.2)
