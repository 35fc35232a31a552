"""A cloud in one home and its second node in another: `up` and `down` keep to what is theirs."""

from __future__ import annotations

import shlex
import shutil
from collections.abc import Iterator

import pytest

from penstock.addresses import is_loopback, outward
from tests.e2e import processes
from tests.e2e.laptop import Laptop, a_laptop
from tests.e2e.processes import eventually

FIRST, SECOND = "emulated-a100:1", "emulated-910b:1"


@pytest.fixture(scope="module")
def cloud() -> Iterator[Laptop]:
    with a_laptop() as made:
        made.must("up", "--port", "0", "--emulate", FIRST)
        yield made


@pytest.fixture(scope="module")
def other(cloud: Laptop) -> Iterator[Laptop]:
    """Another home whose agent joined that cloud, by the command that the cloud handed out."""
    with a_laptop() as made:
        command = shlex.split(cloud.must("node", "join", "--name", "second"))
        assert command[:3] == ["penstock", "--server", cloud.url]
        made.must(*command[1:], "--emulate", SECOND)
        with cloud.client as client:
            eventually(lambda: client.nodes.get("second").health.state == "ready", "it joined", 30)
        yield made


def test_up_refuses_where_the_agent_is_a_node_of_another_cloud(
    cloud: Laptop, other: Laptop
) -> None:
    agent = other.record("agent")
    refused = other.penstock("up", "--port", "0")
    assert refused.returncode == 1
    assert f"is a node of the cloud at {cloud.url}" in refused.stderr
    for way in ("--home", "--no-agent", "penstock down"):
        assert way in refused.stderr
    assert other.record("agent") == agent
    assert agent.is_running()
    assert not (other.home / "server.json").exists(), "nothing was started"


def test_down_leaves_what_runs_on_another_node_alone_and_says_so(
    cloud: Laptop, other: Laptop
) -> None:
    for name, chip, wait_s in (("near", FIRST, 1000), ("far", SECOND, 8)):
        cloud.must(
            "job",
            "submit",
            "--name",
            name,
            "--chips",
            chip,
            "--",
            "sh",
            "-c",
            f"sleep {wait_s}; echo done",
        )
    with cloud.client as client:
        for name in ("near", "far"):
            eventually(lambda name=name: client.jobs.get(name).state == "running", f"{name} runs")  # type: ignore[misc]
    told = cloud.must("down")
    assert "stopped running jobs: near" in told
    assert "left far alone, which runs on second: it ends there after" in told
    assert not list(cloud.home.glob("[as]*.json")), "server and agent are gone"
    assert processes.supervisors(other.home), "its supervisor lives on"
    cloud.must("up")
    with cloud.client as client:
        near, far = client.jobs.get("near"), client.jobs.wait("far", 60)
    assert (near.state, far.state, far.attempt) == ("cancelled", "succeeded", 1)
    assert near.message.startswith("cancelled by admin: `penstock down` took down the cloud on")


def test_down_of_a_joined_node_says_whose_work_it_stopped(cloud: Laptop, other: Laptop) -> None:
    cloud.must("job", "submit", "--name", "moved", "--chips", SECOND, "--", "sleep", "1000")
    with cloud.client as client:
        eventually(lambda: client.jobs.get("moved").state == "running", "it runs")
    told = other.must("down")
    assert f"they were of the cloud at {cloud.url}" in told
    assert not other.everything()
    refused = other.penstock("up", "--port", "0")
    assert "is a node of the cloud at" in refused.stderr, "also while its agent is not running"
    assert not other.everything()


def test_a_node_is_taken_away_from_its_cloud_as_the_refusal_says(other: Laptop) -> None:
    refused = other.penstock("up", "--port", "0")
    assert f"`penstock down`, then remove {other.home / 'agent'}" in refused.stderr
    other.must("down")
    shutil.rmtree(other.home / "agent")
    other.must("up", "--port", "0", "--emulate", SECOND)
    assert other.must("job", "submit", "--follow", "--", "echo", "hello") == "hello\n"


@pytest.mark.parametrize("listens_on", ["one address", "every address"])
def test_a_cloud_that_others_reach_has_a_node_of_its_own_and_says_how_to_join(
    listens_on: str,
) -> None:
    host = "0.0.0.0" if listens_on == "every address" else outward("0.0.0.0")
    if is_loopback(outward(host)):
        pytest.skip("this machine has no address but loopback")
    with a_laptop() as made:
        told = made.must("up", "--host", host, "--port", "0", "--emulate", FIRST)
        assert "something failed" not in told
        with made.client as client:
            (node,) = client.nodes.list()
        assert node.address == outward(host)
        server = f"http://{outward(host)}:{made.url.rpartition(':')[2]}"
        joining = made.penstock("node", "join")
        assert joining.stdout.startswith(f"penstock --server {server} node join --token psj_")
        assert joining.stdout.endswith(" --insecure\n"), "an agent refuses plain http without it"
        assert "over plain http" in joining.stderr
