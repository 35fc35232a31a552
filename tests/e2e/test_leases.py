"""Two nodes fall silent, one cut off and one with its agent dead for good; a third is to take over.

One story told once, since leases take at least 30 s to end; each test looks at one of its promises.
Times are of this machine's clock, which server and agents share.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime

import httpx
import pytest

from agents.node import incarnation
from control_plane.domain.lease import margin_s
from control_plane.services.leases.clock import COMMIT_S, MAX_STEP_S
from penstock.api.assignments import INCARNATION_HEADER
from penstock.api.jobs import Event, Job, Replica
from penstock.api.states import NodeHealth
from tests.e2e import processes
from tests.e2e.cuttable import Way, a_way_to
from tests.e2e.processes import eventually
from tests.e2e.rig import GRACE_S, Cloud, a_cloud

CUT, ORPHANED = "cut", "orphaned"
CHIP = {CUT: "emulated-a100", ORPHANED: "emulated-910b"}
STUBBORN = """
trap '' TERM
[ $PENSTOCK_EPOCH -gt 1 ] && { echo attempt $PENSTOCK_EPOCH; exit 0; }
while :; do sleep 0.2; done
"""
MARGIN_S = margin_s(GRACE_S)
LAG_S = MAX_STEP_S + COMMIT_S
"""By so much at most a reader of the lease clock sees it behind; a loaded machine ticks late."""


@dataclass(slots=True)
class Story:
    """What was seen, by job."""

    cloud: Cloud
    way: Way
    first: dict[str, Replica] = field(default_factory=dict)
    second: dict[str, Replica] = field(default_factory=dict)
    last_heard: dict[str, float] = field(default_factory=dict)
    gone: dict[str, float] = field(default_factory=dict)
    jobs: dict[str, Job] = field(default_factory=dict)
    expired: dict[str, Event] = field(default_factory=dict)

    @property
    def expiry(self) -> dict[str, float]:
        """Ends of the leases by the server's clock: the last renewal plus the TTL."""
        return {name: heard + GRACE_S for name, heard in self.last_heard.items()}


@pytest.fixture(scope="module")
def story() -> Iterator[Story]:
    with a_cloud() as cloud, a_way_to(cloud.port) as way:
        told = Story(cloud, way)
        _begin(told)
        way.cut()
        cloud.nodes[ORPHANED].daemon.kill()
        _watch(told)
        way.heal()
        cloud.restart_agent(ORPHANED)
        yield told


def _begin(told: Story) -> None:
    """One stubborn job on each of the two nodes, and a spare node that could take both."""
    told.cloud.add_node(CUT, f"{CHIP[CUT]}:1", "--no-cpu-chip", via=told.way.url)
    told.cloud.add_node(ORPHANED, f"{CHIP[ORPHANED]}:1", "--no-cpu-chip")
    for name, chip in CHIP.items():
        told.cloud.submit(
            name=name,
            command=["sh", "-c", STUBBORN],
            disconnect_grace=f"{GRACE_S}s",
            resources={"chips": 1, "chip": chip},
        )
    for name in CHIP:
        told.cloud.await_job(name, "running")
        told.first[name] = told.cloud.replicas(name)[0]
    told.cloud.add_node("spare", ",".join(f"{chip}:1" for chip in CHIP.values()), "--no-cpu-chip")


def _watch(told: Story) -> None:
    """Notes when the replicas' processes are gone, until both jobs have ended elsewhere."""

    def over() -> bool:
        for name, replica in told.first.items():
            if name not in told.gone and not processes.of_replica(replica.id):
                told.gone[name] = time.time()
        told.jobs = {name: told.cloud.client.jobs.get(name) for name in CHIP}
        return all(job.state == "succeeded" for job in told.jobs.values())

    eventually(over, "both jobs ended on the spare node", 90, every_s=0.1)
    for name in CHIP:
        heard = told.cloud.client.nodes.get(name).last_heartbeat_at
        assert heard is not None
        told.last_heard[name] = heard.timestamp()
        replicas = sorted(told.cloud.client.jobs.replicas(name), key=lambda it: it.attempt)
        told.second[name] = replicas[-1]
        told.expired[name] = next(
            it for it in told.cloud.client.jobs.events(name) if it.type == "lease.expired"
        )


@pytest.mark.parametrize("name", CHIP)
def test_the_replica_is_stopped_at_its_own_deadline_though_nobody_can_tell_it_to(
    story: Story, name: str
) -> None:
    left_s = story.expiry[name] - story.gone[name]
    print(f"{name}: last process gone {left_s:.1f} s before the lease's end at the server")
    assert left_s > 0
    assert story.gone[name] > story.last_heard[name] + 10, "it ran on as long as it could"


@pytest.mark.parametrize("name", CHIP)
def test_the_chips_are_leased_again_only_after_expiry_and_margin(story: Story, name: str) -> None:
    ended = story.expired[name].at.timestamp()
    print(f"{name}: lease ended {ended - story.expiry[name]:.2f} s after its expiry")
    assert ended >= story.expiry[name] + MARGIN_S - LAG_S
    assert ended < story.expiry[name] + MARGIN_S + 15
    second = next(
        it
        for it in story.cloud.client.jobs.events(name)
        if it.type == "job.starting" and it.at > story.expired[name].at
    )
    assert second.at.timestamp() >= ended


@pytest.mark.parametrize("name", CHIP)
def test_the_job_runs_again_elsewhere_at_the_cost_of_the_infrastructure(
    story: Story, name: str
) -> None:
    assert story.jobs[name].attempt == 2
    assert story.jobs[name].spec.retry.limit == 0
    assert (story.second[name].node, story.second[name].attempt) == ("spare", 2)
    first = next(it for it in story.cloud.client.jobs.replicas(name) if it.attempt == 1)
    assert (first.state, first.node) == ("lost", name)
    assert story.cloud.whole_log(name) == ["attempt 2"]


@pytest.mark.parametrize("name", CHIP)
def test_a_late_report_of_the_old_epoch_is_refused_and_changes_nothing(
    story: Story, name: str
) -> None:
    before = story.cloud.client.jobs.get(name)
    seen = {"replica_id": story.first[name].id, "epoch": 1, "observed_at": _now()}
    exit_record = {"code": 0, "reason": "completed", "ended_at": _now()}
    for late in ({"state": "running"}, {"state": "exited", "exit": exit_record}):
        reply = _as_node(story, name, "reports", {"observations": [{**seen, **late}]})
        assert reply.status_code == 200
        assert [it["code"] for it in reply.json()["refused"]] == ["stale_epoch"]
    assert story.cloud.client.jobs.get(name) == before


def test_a_late_checkpoint_and_late_output_of_the_old_epoch_are_refused(story: Story) -> None:
    replica = {"replica_id": story.first[CUT].id, "epoch": 1}
    commit = {**replica, "step": 1, "uri": "file:///nowhere", "manifest_sha256": "0" * 64}
    reply = _as_node(story, CUT, "checkpoints", commit)
    assert (reply.status_code, reply.json()["code"]) == (409, "stale_epoch")
    reply = _as_node(story, CUT, "logs", {"chunks": [{**replica, "offset": 0, "data": "aGk="}]})
    assert [it["code"] for it in reply.json()["refused"]] == ["stale_epoch"]
    assert story.cloud.whole_log(CUT) == ["attempt 2"]


def test_a_node_speaks_for_itself_only(story: Story) -> None:
    other = {"replica_id": story.second[CUT].id, "epoch": 2, "observed_at": _now()}
    reply = _as_node(story, CUT, "reports", {"observations": [{**other, "state": "running"}]})
    assert [it["code"] for it in reply.json()["refused"]] == ["not_yours"]


@pytest.mark.parametrize("name", CHIP)
def test_the_node_comes_back_by_itself_with_nothing_left_on_it(story: Story, name: str) -> None:
    story.cloud.await_node(name, NodeHealth.READY)
    kept = story.cloud.nodes[name].state_dir / "replicas"
    eventually(lambda: not list(kept.iterdir()), "its old replica is forgotten", 20)
    chips = [it for it in story.cloud.client.chips.list() if it.node == name]
    assert [(it.type, it.free_milli) for it in chips] == [(CHIP[name], 1000)]
    again = story.cloud.submit(command=["true"], resources={"chips": 1, "chip": CHIP[name]})
    story.cloud.await_job(again.name, "succeeded")


def _as_node(story: Story, name: str, what: str, body: dict[str, object]) -> httpx.Response:
    """A message of the node's agent, written by hand with the node's own credential."""
    node = story.cloud.nodes[name]
    speaks = incarnation.previous(node.state_dir)[-1]
    headers = {"Authorization": f"Bearer {node.credential}", INCARNATION_HEADER: speaks}
    return httpx.post(f"{story.cloud.url}/api/v1/agent/{what}", json=body, headers=headers)


def _now() -> str:
    return datetime.now(UTC).isoformat()


def test_a_server_away_for_longer_than_the_grace_finds_the_replica_stopped_and_runs_it_again(
    story: Story,
) -> None:
    cloud = story.cloud
    cloud.submit(
        name="outlasted",
        command=["sh", "-c", STUBBORN],
        disconnect_grace=f"{GRACE_S}s",
        resources={"chips": 1, "chip": CHIP[CUT]},
    )
    cloud.await_job("outlasted", "running")
    replica = cloud.replicas("outlasted")[0]
    began = time.monotonic()
    with cloud.server_killed():
        eventually(lambda: not processes.of_replica(replica.id), "it is stopped", GRACE_S)
        print(f"stopped {time.monotonic() - began:.1f} s after the server's end")
    job = cloud.await_job("outlasted", "succeeded")
    assert job.attempt == 2
    first = next(it for it in cloud.client.jobs.replicas("outlasted") if it.attempt == 1)
    assert first.exit_reason == "lease_expired"
