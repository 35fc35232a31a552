"""What people are told when work fails, by real processes: the cause, in one sentence."""

from __future__ import annotations

import sys
from collections.abc import Iterator

import pytest

from tests.e2e.processes import eventually
from tests.e2e.rig import Cloud, a_cloud

A100 = "emulated-a100"


@pytest.fixture(scope="module")
def cloud() -> Iterator[Cloud]:
    with a_cloud() as made:
        made.add_node("a", f"{A100}:2", "--no-cpu-chip")
        yield made


def test_a_program_that_fails_is_quoted_with_its_last_line(cloud: Cloud) -> None:
    program = r"import sys; sys.stderr.write('\033[31mKeyError: 3\033[0m\n'); sys.exit(4)"
    job = cloud.submit(name="broken", task={"command": [sys.executable, "-c", program]})
    ended = cloud.await_job(job.id, "failed")
    told = 'rank 0 on node a: exit code 4; last line of its log: "KeyError: 3"'
    assert (ended.reason, ended.message) == ("error", told)
    assert told in cloud.client.jobs.explain(job.id).sentence


def test_training_without_its_data_says_which_folder_is_missing(cloud: Cloud) -> None:
    resources = {"chips": 2, "chip": A100}
    job = cloud.submit("train", name="dataless", resources=resources, train={"data": "/no/such"})
    ended = cloud.await_job(job.id, "failed")
    assert (ended.reason, ended.exit_reason) == ("bad_input", "error")
    assert ended.message == (
        "rank 0 on node a: train.data: '/no/such' is neither 'stdlib' nor a folder on this node"
    )


def test_an_endpoint_whose_model_does_not_exist_says_so(cloud: Cloud) -> None:
    resources = {"chips": 1, "chip": A100}
    job = cloud.submit("serve", name="nowhere", resources=resources, serve={"model": "/no/such"})
    cause = "replica 0 on node a: the model folder /no/such does not exist on this node"

    def told() -> bool:
        return cause in cloud.client.endpoints.get("nowhere").message

    eventually(told, "the endpoint says why it is not ready", 60)
    assert cloud.client.endpoints.get("nowhere").state == "pending"
    assert cause in cloud.client.jobs.explain(job.id).sentence
    cloud.client.jobs.cancel(job.id)
    cloud.await_job(job.id, "cancelled")
