"""One start of an agent speaks for a node: emptied and copied folders, restarts, absent servers.

The stories run side by side, since leases take at least 30 s to end. Jobs leave evidence of their
own of when they ran, by the boot clock.
"""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from control_plane.domain.lease import margin_s
from penstock.api.jobs import Job, Replica
from penstock.client.synchronous import Client
from tests.e2e import processes
from tests.e2e.cuttable import Way, a_way_to
from tests.e2e.processes import eventually
from tests.e2e.rig import GRACE_S, ROOT, Cloud, NodeProcess, a_cloud
from tests.storm.evidence import Run, doubled, read_runs

longer = pytest.mark.slow_safety

BEAT = ROOT / "tests" / "storm" / "beat.py"
OVER_S = GRACE_S + margin_s(GRACE_S)
AT_ONCE_S = 14.0
"""Enough for a start of an agent on a busy machine, and far from the end of any lease."""
UNDISTURBED_S = 6.0


@dataclass(slots=True)
class Story:
    """One node with one job, and what became of them. Each has a client of its own."""

    cloud: Cloud
    way: Way
    name: str
    chip: str
    first: Replica | None = None
    runs: list[Run] = field(default_factory=list)
    seen: dict[str, object] = field(default_factory=dict)

    @property
    def node(self) -> NodeProcess:
        return self.cloud.nodes[self.name]

    @property
    def evidence(self) -> Path:
        return self.cloud.home / f"evidence-{self.name}"

    @property
    def replica(self) -> Replica:
        assert self.first is not None
        return self.first

    def begin(self) -> None:
        """The job runs on the node, and would for minutes."""
        self.evidence.mkdir()
        self.cloud.add_node(self.name, f"{self.chip}:1", "--no-cpu-chip", via=self.way.url)
        self.cloud.submit(
            name=self.name,
            command=[sys.executable, str(BEAT), str(self.evidence), "300", "plain"],
            resources={"chips": 1, "chip": self.chip},
            disconnect_grace=f"{GRACE_S}s",
        )
        self.cloud.await_job(self.name, "running")
        self.first = self.cloud.replicas(self.name)[0]
        eventually(lambda: read_runs(self.evidence), "the job has left evidence")

    def another_start(self, state_dir: Path) -> NodeProcess:
        """A further agent under the node's name, in that folder, with a join token of its own."""
        at = [str(state_dir) if it == str(self.node.state_dir) else it for it in self.node.command]
        token = self.cloud.client.nodes.join_token().token
        env = {**self.node.env, "PENSTOCK_AGENT_JOIN_TOKEN": token}
        daemon = processes.start(at, self.cloud.home / "logs" / f"{state_dir.name}.log", env, ROOT)
        made = NodeProcess(self.name, state_dir, at, env, daemon)
        self.cloud.nodes[f"{state_dir.name} again"] = made
        return made

    def job(self) -> Job:
        return self.cloud.client.jobs.get(self.name)

    def beats_on(self) -> None:
        """The same process of the first attempt still runs, and the server says so."""
        (run,) = read_runs(self.evidence)
        eventually(lambda: read_runs(self.evidence)[0].last_ns > run.last_ns, "it beats on", 5)
        assert (self.job().state, self.job().attempt) == ("running", 1)

    def finish(self) -> Job:
        """The job may end now; the end is that of whatever runs it."""
        (self.evidence / "hurry").touch()
        ended = self.cloud.await_job(self.name, "succeeded")
        self.runs = read_runs(self.evidence)
        assert list(doubled(self.runs)) == []
        return ended

    def alerts(self) -> int:
        node_id = self.cloud.client.nodes.get(self.name).id
        events = self.cloud.client.events()
        return sum(
            (it.type, it.object_id) == ("node.incarnation_refused", node_id) for it in events
        )


def folder_is_emptied(story: Story) -> None:
    """The agent is killed, its supervisor lives, a new agent enrols in an empty folder."""
    killed = time.monotonic()
    story.node.daemon.kill()
    new = story.another_start(story.cloud.home / f"{story.name}-new")
    _until_told(new, "is here already")
    _until_told(new, "held for")
    (run,) = read_runs(story.evidence)
    assert time.clock_gettime_ns(time.CLOCK_BOOTTIME) - run.last_ns < 2e9, "it runs on meanwhile"
    story.cloud.nodes[story.name] = story.cloud.nodes.pop(f"{new.state_dir.name} again")
    eventually(lambda: "node_enrolled" in new.daemon.tail(400), "it is accepted", 2 * OVER_S)
    story.seen["waited_s"] = time.monotonic() - killed
    eventually(lambda: len(read_runs(story.evidence)) == 2, "it runs again", 30)
    assert story.finish().attempt == 2


def folder_is_copied(story: Story) -> None:
    """A copy of the folder is started while the original lives."""
    copy = story.another_start(_copied(story))
    _until_told(copy, "cannot speak for node")
    nodes = story.cloud.client.nodes
    eventually(lambda: nodes.get(story.name).refused_incarnation, "the node shows it")
    until = time.monotonic() + UNDISTURBED_S
    while time.monotonic() < until:
        story.beats_on()
    assert copy.daemon.is_alive
    assert story.alerts() == 1
    copy.daemon.end()
    story.beats_on()
    assert story.finish().attempt == 1


def agent_is_restarted(story: Story) -> None:
    """kill -9 and a new process on the same folder."""
    pids = [it.pid for it in processes.of_replica(story.replica.id)]
    story.node.daemon.kill()
    began = time.monotonic()
    story.cloud.restart_agent(story.name)
    eventually(lambda: _adopted(story) == 1, "it adopts", AT_ONCE_S)
    story.seen["adopted_s"] = time.monotonic() - began
    time.sleep(UNDISTURBED_S)
    story.beats_on()
    assert [it.pid for it in processes.of_replica(story.replica.id)] == pids
    assert story.alerts() == 0
    assert story.finish().attempt == 1


def server_is_away(story: Story) -> None:
    """The agent starts anew while nothing answers; its watch of what runs there goes on."""
    story.node.daemon.kill()
    story.way.cut()
    story.cloud.restart_agent(story.name)
    eventually(lambda: _recovered(story) == 1, "it watches what runs there", AT_ONCE_S)
    (run,) = read_runs(story.evidence)
    eventually(lambda: read_runs(story.evidence)[0].last_ns > run.last_ns, "it beats on", 5)
    assert _adopted(story) == 0
    story.way.heal()
    eventually(lambda: _adopted(story) == 1, "it adopts", 2 * AT_ONCE_S)
    story.beats_on()
    assert story.finish().attempt == 1


def original_is_frozen(story: Story) -> None:
    """A copy waits out the lease of a frozen original, which ends itself once it is thawed."""
    copied = _copied(story)
    story.node.daemon.child.send_signal(signal.SIGSTOP)
    copy = story.another_start(copied)
    _until_told(copy, "held for")
    eventually(lambda: len(read_runs(story.evidence)) == 2, "it runs again", 2 * OVER_S)
    story.node.daemon.child.send_signal(signal.SIGCONT)
    assert story.node.daemon.child.wait(20) != 0
    assert "incarnation_superseded" in story.node.daemon.tail(400)
    assert story.finish().attempt == 2


def original_is_dead(story: Story) -> None:
    """The machine was lost; its backup is restored elsewhere."""
    copied = _copied(story)
    story.node.daemon.kill()
    copy = story.another_start(copied)
    _until_told(copy, "held for")
    eventually(lambda: len(read_runs(story.evidence)) == 2, "it runs again", 2 * OVER_S)
    assert story.finish().attempt == 2


def folder_is_lost(story: Story) -> None:
    """The folder itself is deleted under a living supervisor, and made anew at its place."""
    story.node.daemon.kill()
    shutil.rmtree(story.node.state_dir)
    new = story.another_start(story.node.state_dir)
    _until_told(new, "held for")
    eventually(lambda: len(read_runs(story.evidence)) == 2, "it runs again", 2 * OVER_S)
    assert story.finish().attempt == 2


def copies_alternate(story: Story) -> None:
    """Two copies ask in turn: one alert, and the original is left alone."""
    copies = [story.another_start(_copied(story, number)) for number in range(2)]
    for copy in copies:
        _until_told(copy, "cannot speak for node")
    until = time.monotonic() + 2 * UNDISTURBED_S
    while time.monotonic() < until:
        story.beats_on()
    for copy in copies:
        copy.daemon.end()
    assert story.alerts() == 1
    assert story.finish().attempt == 1


QUICKER = (folder_is_emptied, folder_is_copied, agent_is_restarted, server_is_away)
LONGER = (original_is_frozen, original_is_dead, folder_is_lost, copies_alternate)
CHIPS = ("emulated-a100", "emulated-910b", "emulated-mi300x", "emulated-mlu370")
"""One for each story: its job runs on its node only."""
Told = Mapping[str, Future[Story]]


@pytest.fixture(scope="module")
def told() -> Iterator[Told]:
    with _side_by_side(QUICKER) as stories:
        yield stories


@pytest.fixture(scope="module")
def told_longer() -> Iterator[Told]:
    with _side_by_side(LONGER) as stories:
        yield stories


@pytest.mark.parametrize("name", [it.__name__ for it in QUICKER])
def test_a_job_runs_once_when(told: Told, name: str) -> None:
    story = told[name].result()
    print(f"{name}: {story.seen}, {len(story.runs)} runs")
    assert story.runs


def test_an_emptied_folder_waits_until_the_lease_of_before_is_over(told: Told) -> None:
    waited_s = told["folder_is_emptied"].result().seen["waited_s"]
    assert isinstance(waited_s, float)
    assert waited_s > OVER_S - 5  # of the last heartbeat, and of the last tick


@longer
@pytest.mark.parametrize("name", [it.__name__ for it in LONGER])
def test_a_job_runs_once_also_when(told_longer: Told, name: str) -> None:
    story = told_longer[name].result()
    print(f"{name}: {story.seen}, {len(story.runs)} runs")
    assert story.runs


@contextmanager
def _side_by_side(tales: Sequence[Callable[[Story], None]]) -> Iterator[Told]:
    with a_cloud() as cloud, ExitStack() as ways, ThreadPoolExecutor(len(tales)) as threads:
        told: dict[str, Future[Story]] = {}
        for tale, chip in zip(tales, CHIPS, strict=True):
            way = ways.enter_context(a_way_to(cloud.port))
            told[tale.__name__] = threads.submit(_tell, tale, cloud, way, chip)
        wait(told.values())
        yield told


def _tell(tale: Callable[[Story], None], cloud: Cloud, way: Way, chip: str) -> Story:
    story = Story(replace(cloud, _client=None), way, tale.__name__.replace("_", "-"), chip)
    with Client(cloud.url, cloud.token) as client:
        story.cloud._client = client
        story.begin()
        tale(story)
    return story


def _copied(story: Story, number: int = 0) -> Path:
    to = story.cloud.home / f"{story.name}-copy-{number}"
    subprocess.run(["cp", "-a", str(story.node.state_dir), str(to)], check=True)
    return to


def _until_told(node: NodeProcess, what: str) -> None:
    eventually(lambda: what in node.daemon.tail(400), f"it says {what}", 30)


def _adopted(story: Story) -> int:
    return _lines(story, "replica_adopted")


def _recovered(story: Story) -> int:
    return _lines(story, "replica_recovered")


def _lines(story: Story, event: str) -> int:
    log = story.node.daemon.log.read_text(encoding="utf-8")
    return sum(event in it and story.replica.id in it for it in log.splitlines())
