"""An upgrade with work running: server, agent and supervisors of the release before, then today's
server, then today's agent. Training, an endpoint under requests and tasks live through all of it.

The story is told once; each test reads a part of it.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import httpx
import pytest

from penstock.api.jobs import Job, Replica
from penstock.api.nodes import Node
from penstock.api.specs import ModelShape
from tests.e2e import processes
from tests.e2e.corpus import SHAPE, write_prose
from tests.e2e.processes import eventually
from tests.e2e.rig import QUICK, ROOT, Cloud, a_cloud
from tests.integration.serving.model_folders import write_huggingface
from tests.integration.upgrade.release import unpack
from workloads.models.config import config_of_shape

pytestmark = [pytest.mark.integration, pytest.mark.slow]

PATIENT: Final = {
    **QUICK, "PENSTOCK_SERVER_SUSPECT_AFTER_S": "20", "PENSTOCK_SERVER_LOST_AFTER_S": "30",
}  # fmt: skip
"""A busy machine needs some seconds from one agent to the next: servers are not to be replaced."""
MODEL: Final = ModelShape(
    num_layers=2,
    hidden_size=64,
    num_heads=2,
    num_kv_heads=1,
    intermediate_size=128,
    vocab_size=320,
    max_seq_len=64,
)
SMALL: Final = {"cores": 0.1}
NODE, CHIP = "first", "emulated-a100"
COUNTING: Final = (
    "trap 'echo told to stop; exit 9' TERM; i=0; "
    'while [ ! -e {flag} ]; do echo "line $i"; i=$((i+1)); sleep 0.05; done; echo "end $i"'
)
LIVE: Final = ("count", "halt", "learn", "chat")
"""Jobs that run from the old agent's time into the new one's."""


@dataclass(slots=True)
class Callers:
    """Asks the endpoint's replica itself, without a pause, and keeps what did not go well."""

    url: str
    num_answers: int = 0
    faults: list[str] = field(default_factory=list)
    done: threading.Event = field(default_factory=threading.Event)

    def run(self) -> None:
        body = {"model": "chat", "prompt": "def", "max_tokens": 4, "ignore_eos": True}
        with httpx.Client(timeout=30) as http:
            while not self.done.is_set():
                try:
                    answer = http.post(f"{self.url}/v1/completions", json=body)
                except httpx.HTTPError as error:
                    self.faults.append(repr(error))
                else:
                    self.num_answers += 1
                    self.faults += [] if answer.is_success else [answer.text]
                self.done.wait(0.05)


@dataclass(slots=True)
class Look:
    """What runs, and where, at one moment."""

    node: Node
    jobs: dict[str, Job]
    replicas: dict[str, Replica]
    pids: dict[str, tuple[int, int]]
    """The first process of each replica, and its supervisor."""
    steps: list[int]
    answer: httpx.Response


@dataclass(slots=True)
class Story:
    """The looks, and how all of it ended."""

    cloud: Cloud
    callers: Callers
    by_old_server: Look
    by_new_server: Look
    by_new_agent: Look
    ended: dict[str, Job]


def _look(cloud: Cloud) -> Look:
    jobs = {name: cloud.client.jobs.get(name) for name in LIVE}
    replicas = {name: cloud.replicas(name)[0] for name in LIVE}
    return Look(
        node=cloud.client.nodes.get(NODE),
        jobs=jobs,
        replicas=replicas,
        pids={it.id: _pids(it.id) for it in replicas.values()},
        steps=[it.step for it in cloud.client.jobs.checkpoints("learn")],
        answer=_ask(cloud),
    )


def _pids(replica_id: str) -> tuple[int, int]:
    first = processes.of_replica(replica_id)[0]
    return first.pid, first.ppid()


def _ask(cloud: Cloud) -> httpx.Response:
    body = {"model": "chat", "prompt": "def", "max_tokens": 8, "ignore_eos": True}
    headers = {"Authorization": f"Bearer {cloud.token}"}
    return httpx.post(f"{cloud.url}/v1/completions", json=body, headers=headers, timeout=30)


def _start_work(cloud: Cloud) -> None:
    model = cloud.home / "model"
    write_huggingface(model, config_of_shape(MODEL))
    prose = write_prose(cloud.home / "prose")
    one: dict[str, Any] = {"chip": CHIP, "chips": 1}
    cloud.submit("serve", name="chat", serve={"model": str(model)}, resources=one)
    train = {
        "model": SHAPE, "data": str(prose), "steps": 10**6, "batch_size": 4, "micro_batch": 2,
        "checkpoint_every": 20,
    }  # fmt: skip
    cloud.submit("train", name="learn", train=train, resources=one)
    for name in ("count", "halt", "brief", "done"):
        command = ["sh", "-c", COUNTING.format(flag=cloud.home / name)]
        cloud.submit(name=name, command=command, resources=SMALL)


def _finish(cloud: Cloud, name: str) -> None:
    (cloud.home / name).touch()


def _learns(cloud: Cloud) -> None:
    """Waits for two further checkpoints: one may have been under way."""
    before = len(list(cloud.client.jobs.checkpoints("learn")))
    eventually(
        lambda: len(list(cloud.client.jobs.checkpoints("learn"))) >= before + 2, "it learns", 60
    )


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Story]:
    old = unpack(tmp_path_factory.mktemp("release"))
    with a_cloud(tree=old, settings=PATIENT) as cloud:
        cloud.add_node(NODE, f"{CHIP}:2", "--no-cpu-chip")
        _start_work(cloud)
        _await_work(cloud)
        callers = Callers(f"http://{cloud.replicas('chat')[0].address}")
        thread = threading.Thread(target=callers.run)
        thread.start()
        try:
            yield _told(cloud, callers)
        finally:
            callers.done.set()
            thread.join(40)


def _await_work(cloud: Cloud) -> None:
    for name in (*LIVE, "brief", "done"):
        cloud.await_job(name, "running")
    eventually(lambda: cloud.client.endpoints.get("chat").state == "ready", "it serves", 60)
    _learns(cloud)


def _told(cloud: Cloud, callers: Callers) -> Story:
    by_old_server = _look(cloud)
    cloud.server.end()
    cloud.tree = ROOT
    cloud.start_server()
    _goes_on(cloud, "under-new-server")
    _finish(cloud, "done")
    cloud.await_job("done", "succeeded")
    by_new_server = _look(cloud)
    _replace_agent(cloud)
    _goes_on(cloud, "under-new-agent")
    by_new_agent = _look(cloud)
    ended = _end_work(cloud, callers)
    return Story(cloud, callers, by_old_server, by_new_server, by_new_agent, ended)


def _goes_on(cloud: Cloud, name: str) -> None:
    """New work starts, and the old goes on."""
    cloud.submit(name=name, command=["echo", name], resources=SMALL)
    cloud.await_job(name, "succeeded")
    _learns(cloud)
    eventually(lambda: _ask(cloud).is_success, "the endpoint answers", 20)


def _replace_agent(cloud: Cloud) -> None:
    """One job ends while no agent is there."""
    node = cloud.nodes[NODE]
    before = cloud.client.nodes.get(NODE).last_heartbeat_at
    brief = cloud.replicas("brief")[0]
    node.daemon.end()
    _finish(cloud, "brief")
    eventually(lambda: not processes.of_replica(brief.id), "the job has ended")
    node.env = {**node.env, "PYTHONPATH": str(ROOT)}
    cloud.restart_agent(NODE)
    eventually(lambda: cloud.client.nodes.get(NODE).last_heartbeat_at != before, "it is back")
    cloud.await_job("brief", "succeeded")


def _end_work(cloud: Cloud, callers: Callers) -> dict[str, Job]:
    callers.done.set()
    _finish(cloud, "count")
    for name in ("halt", "learn", "chat"):
        cloud.client.jobs.cancel(name)
    return {name: cloud.client.jobs.wait(name, 40) for name in (*LIVE, "brief", "done")}


def _kept(look: Look) -> dict[str, Any]:
    """What an upgrade must not touch."""
    return {
        "attempts": {name: job.attempt for name, job in look.jobs.items()},
        "replicas": {name: it.id for name, it in look.replicas.items()},
        "states": {name: it.state for name, it in look.replicas.items()},
        "pids": look.pids,
        "node": look.node.id,
    }


def test_a_new_server_goes_on_with_agent_and_supervisors_of_the_release_before(
    story: Story,
) -> None:
    assert _kept(story.by_new_server) == _kept(story.by_old_server)
    assert set(_kept(story.by_old_server)["attempts"].values()) == {1}


def test_a_new_agent_adopts_what_runs_under_the_supervisors_of_the_release_before(
    story: Story,
) -> None:
    assert _kept(story.by_new_agent) == _kept(story.by_old_server)


def test_training_goes_on_and_its_checkpoints_are_taken_at_every_stage(story: Story) -> None:
    looks = (story.by_old_server, story.by_new_server, story.by_new_agent)
    first, second, third = ([*sorted(it.steps)] for it in looks)
    assert 0 < len(first) < len(second) < len(third)
    assert set(first) < set(second) < set(third)


def test_the_endpoint_answers_at_every_stage_and_its_replica_never_stopped(story: Story) -> None:
    looks = (story.by_old_server, story.by_new_server, story.by_new_agent)
    assert [it.answer.status_code for it in looks] == [200] * 3
    assert {it.answer.headers["x-penstock-replica"] for it in looks} == {
        story.by_old_server.replicas["chat"].id
    }
    assert story.callers.faults == []
    assert story.callers.num_answers > 50


@pytest.mark.parametrize("name", ["count", "brief", "done"])
def test_a_job_ends_by_itself_and_its_log_has_no_gap(story: Story, name: str) -> None:
    job = story.ended[name]
    assert (job.state, job.exit_code, job.attempt) == ("succeeded", 0, 1)
    *lines, last = story.cloud.client.jobs.log_text(name).splitlines()
    assert lines == [f"line {number}" for number in range(len(lines))]
    assert last == f"end {len(lines)}"


def test_a_job_is_stopped_through_the_supervisor_of_the_release_before(story: Story) -> None:
    assert {story.ended[it].state for it in ("halt", "learn", "chat")} == {"cancelled"}
    told = story.cloud.client.jobs.log_text("halt").splitlines()
    *lines, last = [it for it in told if it != "Terminated"]  # the shell's word of its `sleep`
    assert lines == [f"line {number}" for number in range(len(lines))]
    assert last == "told to stop"


def test_nothing_was_lost_and_events_have_no_gap(story: Story) -> None:
    for name in story.ended:
        events = list(story.cloud.client.jobs.events(name))
        assert [it.seq for it in events] == list(range(1, len(events) + 1))
        assert not [it.message for it in events if "lost" in it.type]


def test_without_the_history_the_reason_is_said(tmp_path: Path) -> None:
    with pytest.raises(pytest.skip.Exception, match="0000000 is not in this history"):
        unpack(tmp_path, commit="0000000")
