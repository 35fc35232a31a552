"""One start of an agent speaks for a node: copies, restored folders, reused names run nothing."""

from __future__ import annotations

from collections.abc import Collection

import pytest

from control_plane.errors import Conflict
from control_plane.services.accounts.projects import create_join_token
from control_plane.services.agents.assignments import assignment_list
from control_plane.services.agents.heartbeat import record_heartbeat
from control_plane.services.nodes.enrol import authenticate_node, enrol_node
from control_plane.services.nodes.incarnations import begin_incarnation
from control_plane.services.nodes.read import get_node
from penstock.api.assignments import BeginRequest, EnrolRequest, HeartbeatRequest, HeldRun
from penstock.api.ids import NodeId, ReplicaId
from penstock.api.states import JobState
from penstock.api.tokens import JoinTokenRequest
from tests.fakes.cluster import ADMIN, BIG, SERVER, Cluster, a_task, an_inventory
from tests.fakes.node_agent import FakeAgent

ORIGINAL, COPY, OTHER = "a" * 32, "b" * 32, "c" * 32
SILENT_S = 16.0


@pytest.fixture
def node(cluster: Cluster) -> FakeAgent:
    """A node whose agent has begun and runs one job."""
    agent = cluster.node("n")
    begin(cluster, agent, ORIGINAL)
    agent.incarnation = ORIGINAL
    cluster.submit(a_task("one"))
    cluster.cycle()
    agent.tick()
    (process,) = agent.live()
    agent.run(process.id)
    agent.tick()
    return agent


def begin(
    cluster: Cluster,
    agent: FakeAgent,
    incarnation: str,
    previous: Collection[str] = (),
    held: tuple[HeldRun, ...] = (),
) -> None:
    request = BeginRequest(incarnation=incarnation, previous=tuple(previous), held=held)
    begin_incarnation(cluster.deps, NodeId(agent.node_id), request)


def enrol(cluster: Cluster, name: str) -> str:
    token = create_join_token(cluster.deps, ADMIN, JoinTokenRequest(), SERVER).token
    request = EnrolRequest(join_token=token, name=name, inventory=an_inventory({BIG: 2}))
    return enrol_node(cluster.deps, request).credential


def wait_out_the_lease(cluster: Cluster) -> None:
    for _ in range(10):
        cluster.clock.advance(7.0)
        node_deadlines(cluster)
        cluster.sweep()


def node_deadlines(cluster: Cluster) -> None:
    """What the supervisors do while no agent talks."""
    for agent in cluster.agents.values():
        agent.enforce()


def alerts(cluster: Cluster, agent: FakeAgent) -> int:
    return cluster.events(agent.node_id).count("node.incarnation_refused")


def test_a_restarted_agent_goes_on_with_what_runs(cluster: Cluster, node: FakeAgent) -> None:
    begin(cluster, node, COPY, previous=[ORIGINAL])
    node.incarnation = COPY
    node.tick()
    assert len(list(node.live())) == 1
    assert cluster.job("one").state == JobState.RUNNING


def test_a_copied_folder_gets_nothing_while_the_original_lives(
    cluster: Cluster, node: FakeAgent
) -> None:
    for _ in range(5):
        with pytest.raises(Conflict, match="its agent is heard of"):
            begin(cluster, node, COPY)
        cluster.clock.advance(5.0)
        node.tick()
    assert cluster.job("one").state == JobState.RUNNING
    assert alerts(cluster, node) == 1
    assert get_node(cluster.deps, "n").refused_incarnation == COPY


def test_what_another_incarnation_asks_is_refused(cluster: Cluster, node: FakeAgent) -> None:
    for other in (COPY, None):
        with pytest.raises(Conflict, match="another start of the agent"):
            assignment_list(cluster.deps, NodeId(node.node_id), other)
        beat = HeartbeatRequest(instance="2", generation=0)
        with pytest.raises(Conflict, match="another start of the agent"):
            record_heartbeat(cluster.deps, NodeId(node.node_id), beat, other)


def test_a_copy_takes_over_only_when_all_that_the_original_ran_is_over(
    cluster: Cluster, node: FakeAgent
) -> None:
    node.online = False
    cluster.clock.advance(SILENT_S)
    cluster.sweep()
    with pytest.raises(Conflict, match="held for"):
        begin(cluster, node, COPY)
    wait_out_the_lease(cluster)
    assert not list(node.live())
    begin(cluster, node, COPY)
    with pytest.raises(Conflict):
        assignment_list(cluster.deps, NodeId(node.node_id), ORIGINAL)
    assert get_node(cluster.deps, "n").refused_incarnation is None


def test_two_copies_that_alternate_never_both_speak(cluster: Cluster, node: FakeAgent) -> None:
    for turn in range(6):
        copy = (COPY, OTHER)[turn % 2]
        with pytest.raises(Conflict):
            begin(cluster, node, copy)
        node.tick()
    assert cluster.job("one").state == JobState.RUNNING
    assert cluster.node_row("n").incarnation == ORIGINAL
    assert alerts(cluster, node) == 1


def test_a_name_is_not_taken_over_while_something_of_its_node_may_run(
    cluster: Cluster, node: FakeAgent
) -> None:
    """The agent was killed and its folder emptied; its supervisor lives."""
    with pytest.raises(Conflict, match="heard of"):
        enrol(cluster, "n")
    node.online = False
    cluster.clock.advance(SILENT_S)
    cluster.sweep()
    with pytest.raises(Conflict, match="held for") as refused:
        enrol(cluster, "n")
    assert refused.value.code == "node_name_taken"
    assert authenticate_node(cluster.deps, node.credential) == node.node_id
    wait_out_the_lease(cluster)
    credential = enrol(cluster, "n")
    assert authenticate_node(cluster.deps, credential) == node.node_id
    assert not assignment_list(cluster.deps, NodeId(node.node_id)).assignments


def test_an_agent_of_an_older_version_names_none_and_is_served_on(cluster: Cluster) -> None:
    agent = cluster.node("n")
    cluster.submit(a_task("one"))
    cluster.cycle()
    agent.tick()
    assert len(list(agent.live())) == 1
    record_heartbeat(
        cluster.deps, NodeId(agent.node_id), HeartbeatRequest(instance="2", generation=0)
    )


def test_its_successor_is_the_folder_with_the_live_supervisors(cluster: Cluster) -> None:
    agent = cluster.node("n")
    cluster.submit(a_task("one"))
    cluster.cycle()
    agent.tick()
    (process,) = agent.live()
    agent.run(process.id)
    agent.tick()
    run = HeldRun(replica_id=ReplicaId(process.id), epoch=1, proven=False)
    with pytest.raises(Conflict, match="held for"):
        begin(cluster, agent, COPY, held=(run,))
    begin(cluster, agent, ORIGINAL, held=(run.model_copy(update={"proven": True}),))
    assert cluster.node_row("n").incarnation == ORIGINAL
