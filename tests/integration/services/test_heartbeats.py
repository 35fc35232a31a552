"""Heartbeats that are written together: each gets its own answer, and none pays for another."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from control_plane.api.heartbeats import Heartbeats
from control_plane.errors import Conflict
from control_plane.server.lanes import Lanes
from control_plane.services.agents import heartbeat
from control_plane.services.agents.heartbeat import Beat, record_heartbeats, record_news
from control_plane.services.deps import Deps
from control_plane.services.nodes.incarnations import begin_incarnation
from penstock.api.assignments import BeginRequest, HeartbeatReply, HeartbeatRequest
from penstock.api.chips import ChipSample
from penstock.api.ids import NodeId
from penstock.api.states import ChipHealth
from tests.fakes.cluster import BIG, Cluster, a_task
from tests.fakes.node_agent import FakeAgent


def test_each_of_many_gets_its_own_answer(cluster: Cluster) -> None:
    agents = [cluster.node(name, {BIG: 1}) for name in "abc"]
    for number in range(3):
        cluster.submit(a_task(f"t{number}"))
    cluster.steps(2)
    for agent in agents:
        agent.beat()
    outcomes = record_heartbeats(cluster.deps, [_again(agent) for agent in agents])
    for agent, outcome in zip(agents, outcomes, strict=True):
        assert isinstance(outcome, HeartbeatReply)
        assert {it.replica_id for it in outcome.leases} == set(agent.processes)


def test_one_that_is_superseded_is_refused_and_the_others_are_not(cluster: Cluster) -> None:
    old, well = cluster.node("a"), cluster.node("b")
    cluster.steps(1)
    node_id = NodeId(old.node_id)
    begin_incarnation(cluster.deps, node_id, BeginRequest(incarnation="a-newer-start-of-it"))
    refused, reply = record_heartbeats(cluster.deps, [_again(old), _again(well)])
    assert isinstance(refused, Conflict)
    assert refused.code == "incarnation_superseded"
    assert isinstance(reply, HeartbeatReply)


def test_news_is_left_to_a_transaction_that_may_decide(cluster: Cluster) -> None:
    sick, well = cluster.node("a", {BIG: 1}), cluster.node("b", {BIG: 1})
    cluster.steps(1)
    sample = ChipSample(key=f"{BIG}-0", health=ChipHealth.UNHEALTHY)
    news = Beat(NodeId(sick.node_id), _request(sample), sick.incarnation)
    outcomes = record_heartbeats(cluster.deps, [news, _again(well)])
    assert outcomes[0] is None
    assert isinstance(outcomes[1], HeartbeatReply)
    (told,) = record_news(cluster.deps, [news])
    assert isinstance(told, HeartbeatReply)
    assert cluster.events(sick.node_id)[-1] == "chip.unhealthy"
    (quiet,) = record_heartbeats(cluster.deps, [news])
    assert isinstance(quiet, HeartbeatReply), "the same again is no news"


def test_a_fault_with_one_heartbeat_is_nobody_elses(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    agents = [cluster.node(name) for name in "abc"]
    cluster.steps(1)
    bad = agents[1].node_id
    record = heartbeat.record_heartbeats

    def failing(deps: Deps, beats: Sequence[Beat]) -> object:
        if any(beat.node_id == bad for beat in beats):
            raise KeyError(bad)
        return record(deps, beats)

    monkeypatch.setattr("control_plane.api.heartbeats.record_heartbeats", failing)
    outcomes = asyncio.run(_all(cluster.deps, agents))
    assert [type(it) for it in outcomes] == [HeartbeatReply, KeyError, HeartbeatReply]


def test_those_that_come_together_share_a_transaction(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    agents = [cluster.node(name) for name in "abcdef"]
    cluster.steps(1)
    sizes: list[int] = []
    record = heartbeat.record_heartbeats

    def counting(deps: Deps, beats: Sequence[Beat]) -> object:
        sizes.append(len(beats))
        return record(deps, beats)

    monkeypatch.setattr("control_plane.api.heartbeats.record_heartbeats", counting)
    outcomes = asyncio.run(_all(cluster.deps, agents))
    assert all(isinstance(it, HeartbeatReply) for it in outcomes)
    assert sizes == [6]


async def _all(deps: Deps, agents: Sequence[FakeAgent]) -> Sequence[HeartbeatReply | BaseException]:
    heartbeats = Heartbeats(deps, Lanes())
    asked = (heartbeats.record(_again(agent)) for agent in agents)
    return await asyncio.gather(*asked, return_exceptions=True)


def _again(agent: FakeAgent) -> Beat:
    """Its last heartbeat once more, which brings no news."""
    last = agent.beats[-1].model_copy(update={"inventory": None})
    return Beat(NodeId(agent.node_id), last, agent.incarnation)


def _request(*samples: ChipSample) -> HeartbeatRequest:
    return HeartbeatRequest(instance="1", generation=0, samples=samples)
