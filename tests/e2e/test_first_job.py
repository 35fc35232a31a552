"""The shortest ways through the whole platform: one command, and a hundred of them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from penstock.api.jobs import Job
from tests.e2e.rig import Cloud, a_cloud


@pytest.fixture(scope="module")
def cloud() -> Iterator[Cloud]:
    with a_cloud() as made:
        made.add_node("a", "emulated-a100:2,emulated-910b:2")
        yield made


def test_a_submitted_command_prints_its_output_and_its_exit_code_is_kept(cloud: Cloud) -> None:
    done = cloud.cli("job", "submit", "--name", "hello", "--follow", "--", "echo", "hello")
    assert (done.returncode, done.stdout) == (0, "hello\n"), done.stderr
    job = cloud.client.jobs.get("hello")
    assert (job.state, job.exit_code, job.exit_reason) == ("succeeded", 0, "completed")
    assert job.started_at is not None
    submitted_to_running_s = (job.started_at - job.created_at).total_seconds()
    print(f"submission to running: {submitted_to_running_s:.3f} s")
    assert submitted_to_running_s < 5


def test_the_jobs_own_exit_code_comes_back_to_the_shell(cloud: Cloud) -> None:
    done = cloud.cli(
        "job",
        "submit",
        "--name",
        "seven",
        "--follow",
        "--exit-status",
        "--",
        "sh",
        "-c",
        "echo out; echo err >&2; exit 7",
    )
    assert done.returncode == 7
    assert sorted(done.stdout.splitlines()) == ["err", "out"]
    job = cloud.client.jobs.get("seven")
    assert (job.state, job.exit_code, job.exit_reason) == ("failed", 7, "error")


def test_a_hundred_jobs_of_one_client_all_end_well_each_with_its_own_record(cloud: Cloud) -> None:
    with ThreadPoolExecutor(8) as pool:
        jobs = list(pool.map(lambda _: cloud.submit(command=["true"]), range(100)))
        ended: list[Job] = list(pool.map(lambda job: cloud.client.jobs.wait(job.id, 120), jobs))
    assert len({job.id for job in ended}) == 100
    assert {(job.state, job.exit_code) for job in ended} == {("succeeded", 0)}
    replicas = [replica for job in ended for replica in cloud.client.jobs.replicas(job.id)]
    assert len({replica.id for replica in replicas}) == 100
    assert {(replica.state, replica.exit_code) for replica in replicas} == {("exited", 0)}
    took_s = max(_end(job) for job in ended) - min(job.created_at.timestamp() for job in ended)
    print(f"first submission to last end of 100 jobs: {took_s:.1f} s")


def test_a_job_on_an_emulated_chip_sees_its_rank_its_chip_and_its_limits(cloud: Cloud) -> None:
    script = 'echo "$RANK/$WORLD_SIZE $PENSTOCK_CHIPS"'
    job = cloud.submit(
        name="ranks", command=["sh", "-c", script], resources={"chips": 1, "chip": "emulated-910b"}
    )
    cloud.await_job("ranks", "succeeded")
    text = cloud.whole_log("ranks")[0]
    replica = next(iter(cloud.client.jobs.replicas(job.id)))
    assert text.startswith("0/1 ")
    assert '"emulated": true' in text.replace('"emulated":true', '"emulated": true')
    assert [(chip.type, chip.milli) for chip in replica.chips] == [("emulated-910b", 1000)]


def _end(job: Job) -> float:
    assert job.ended_at is not None
    return job.ended_at.timestamp()


def test_the_metrics_count_requests_by_route_and_name_no_job(cloud: Cloud) -> None:
    job = cloud.submit(command=["true"])
    cloud.await_job(job.id, "succeeded")
    page = httpx.get(f"{cloud.url}/metrics").text
    assert 'penstock_http_requests_total{code="201",method="POST",route="/api/v1/jobs"}' in page
    assert re.search(r'route="/api/v1/jobs/\{\w+\}"', page)
    assert 'penstock_jobs{queue="default",state="succeeded"}' in page
    assert "job_0" not in page
