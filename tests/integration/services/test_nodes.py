"""Nodes: how they come in, who they are, what they say they have, and how they fall silent."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest

from control_plane.errors import Conflict, Unauthenticated
from control_plane.services.accounts.projects import create_join_token
from control_plane.services.agents.assignments import assignment_list
from control_plane.services.agents.heartbeat import record_heartbeat
from control_plane.services.nodes.enrol import authenticate_node, enrol_node, rotate_credential
from control_plane.services.nodes.read import list_chip_types, list_chips
from penstock.api.assignments import EnrolRequest, HeartbeatReply, HeartbeatRequest, Inventory
from penstock.api.chips import ChipSample
from penstock.api.ids import NodeId
from penstock.api.states import ChipHealth, JobState, NodeIntent
from penstock.api.tokens import JoinTokenRequest
from tests.fakes.cluster import ADMIN, BIG, SERVER, Cluster, a_task, an_inventory
from tests.fakes.lease_clock import lease_time

NUM_THREADS = 6


@pytest.mark.parametrize(
    "server,ending,note",
    [
        ("http://127.0.0.1:8470", "", "penstock up --host ADDRESS"),
        ("http://10.0.0.5:8470", " --insecure", "over plain http"),
        ("https://penstock.example", "", None),
    ],
)
def test_a_join_command_works_where_it_is_pasted_or_says_why_not(
    cluster: Cluster, server: str, ending: str, note: str | None
) -> None:
    made = create_join_token(cluster.deps, ADMIN, JoinTokenRequest(node_name="n"), server)
    words = f"penstock --server {server} node join --token {made.token} --name n"
    assert made.command == words + ending
    assert (note in made.note) if note and made.note else made.note is None


def test_a_join_token_is_used_once_however_many_try_at_once(cluster: Cluster) -> None:
    token = create_join_token(cluster.deps, ADMIN, JoinTokenRequest(), SERVER).token

    def enrol(number: int) -> bool:
        request = EnrolRequest(
            join_token=token, name=f"n{number}", inventory=an_inventory({BIG: 1})
        )
        try:
            return bool(enrol_node(cluster.deps, request).node_id)
        except Unauthenticated:
            return False

    with ThreadPoolExecutor(NUM_THREADS) as threads:
        assert sum(threads.map(enrol, range(NUM_THREADS))) == 1


def test_a_join_token_ends_with_its_time(cluster: Cluster) -> None:
    token = create_join_token(cluster.deps, ADMIN, JoinTokenRequest(expires_in=60), SERVER).token
    cluster.clock.advance(61)
    with pytest.raises(Unauthenticated, match="expired"):
        _enrol(cluster, token, "a")


def test_a_token_that_was_refused_for_its_name_is_not_used_up(cluster: Cluster) -> None:
    token = create_join_token(cluster.deps, ADMIN, JoinTokenRequest(node_name="a"), SERVER).token
    with pytest.raises(Conflict, match="is for the node a"):
        _enrol(cluster, token, "b")
    assert _enrol(cluster, token, "a")


def test_a_live_nodes_name_is_not_taken_over(cluster: Cluster) -> None:
    cluster.node("a")
    token = create_join_token(cluster.deps, ADMIN, JoinTokenRequest(), SERVER).token
    with pytest.raises(Conflict, match="heard of") as refused:
        _enrol(cluster, token, "a")
    assert refused.value.code == "node_name_taken"


def test_a_node_set_up_anew_gets_a_new_identity_and_the_old_one_ends(cluster: Cluster) -> None:
    old = cluster.node("a")
    cluster.clock.advance(16)
    cluster.sweep()
    token = create_join_token(cluster.deps, ADMIN, JoinTokenRequest(), SERVER).token
    credential = _enrol(cluster, token, "a")
    assert authenticate_node(cluster.deps, credential) == old.node_id
    with pytest.raises(Unauthenticated):
        authenticate_node(cluster.deps, old.credential)


def test_a_retired_node_does_not_come_back_but_its_name_is_free_for_a_new_one(
    cluster: Cluster,
) -> None:
    old = cluster.node("a")
    cluster.intend("a", NodeIntent.CORDONED)
    cluster.intend("a", NodeIntent.RETIRED)
    with pytest.raises(Unauthenticated):
        authenticate_node(cluster.deps, old.credential)
    token = create_join_token(cluster.deps, ADMIN, JoinTokenRequest(), SERVER).token
    new_id = authenticate_node(cluster.deps, _enrol(cluster, token, "a"))
    assert new_id == cluster.node_row("a").id != old.node_id
    retired = cluster.node_row(old.node_id)
    assert (retired.name, retired.intent) == (f"a-retired-{old.node_id[-8:]}", "retired")


def test_both_credentials_hold_until_the_new_one_is_first_used(cluster: Cluster) -> None:
    agent = cluster.node("a")
    assert not _beat(cluster, agent.node_id).rotate_credential
    cluster.clock.advance(timedelta(days=31).total_seconds())
    assert _beat(cluster, agent.node_id).rotate_credential
    lost = rotate_credential(cluster.deps, NodeId(agent.node_id)).credential
    new = rotate_credential(cluster.deps, NodeId(agent.node_id)).credential
    assert authenticate_node(cluster.deps, agent.credential) == agent.node_id
    assert authenticate_node(cluster.deps, new) == agent.node_id
    for secret in (agent.credential, lost):
        with pytest.raises(Unauthenticated):
            authenticate_node(cluster.deps, secret)
    assert not _beat(cluster, agent.node_id).rotate_credential


def test_an_older_assignment_list_never_takes_the_place_of_a_newer_one(cluster: Cluster) -> None:
    agent = cluster.node("a")
    empty = assignment_list(cluster.deps, NodeId(agent.node_id))
    cluster.submit(a_task("one"))
    cluster.cycle()
    agent.tick()
    late = assignment_list(cluster.deps, NodeId(agent.node_id))
    cluster.cancel("one")
    agent.poll()
    assert empty.generation < late.generation < agent.desired.generation  # type: ignore[union-attr]
    agent.take(late, agent.now_ns())
    agent.take(empty, agent.now_ns())
    assert [it.live for it in agent.processes.values()] == [False]


def test_the_same_inventory_again_changes_nothing(cluster: Cluster) -> None:
    agent = cluster.node("a")
    before = cluster.node_row("a")
    _beat(cluster, agent.node_id, agent.inventory)
    assert cluster.node_row("a").version == before.version
    assert cluster.events(agent.node_id).count("node.inventory") == 1


@pytest.mark.parametrize("smaller", [{"cores": 16}, {"memory_bytes": 2**30}, {"chips": {BIG: 1}}])
def test_a_node_that_shrinks_counts_as_changed(
    cluster: Cluster, smaller: dict[str, object]
) -> None:
    """A plan made for what it had before must not be committed."""
    agent = cluster.node("a", {BIG: 2})
    before = cluster.node_row("a")
    shrunk = an_inventory(**{"chips": {BIG: 2}, **smaller})  # type: ignore[arg-type]
    _beat(cluster, agent.node_id, shrunk)
    assert cluster.node_row("a").version > before.version


def test_a_chip_that_vanished_comes_back_as_the_same_chip(cluster: Cluster) -> None:
    agent = cluster.node("a", {BIG: 2})
    first = _chips(cluster)
    _beat(cluster, agent.node_id, an_inventory({BIG: 1}))
    assert len(_chips(cluster)) == 1
    _beat(cluster, agent.node_id, an_inventory({BIG: 2}))
    assert _chips(cluster) == first


def test_a_sick_chip_gets_nothing_and_a_well_one_is_told(cluster: Cluster) -> None:
    agent = cluster.node("a", {BIG: 1})
    _sample(cluster, agent.node_id, ChipHealth.UNHEALTHY)
    cluster.submit(a_task("one"))
    cluster.steps(2)
    assert cluster.state("one") is JobState.QUEUED
    _sample(cluster, agent.node_id, ChipHealth.HEALTHY)
    assert cluster.events(agent.node_id)[-2:] == ["chip.unhealthy", "chip.healthy"]
    cluster.steps(2)
    assert cluster.state("one") is JobState.RUNNING


def test_a_silent_node_is_suspect_then_lost_then_back(cluster: Cluster) -> None:
    agent = cluster.node("a")
    for seconds, health in ((15, "ready"), (1, "suspect"), (44, "suspect"), (1, "lost")):
        cluster.clock.advance(seconds)
        cluster.sweep()
        assert cluster.node_row("a").health == health
    agent.beat()
    assert cluster.node_row("a").health == "ready"
    assert cluster.events(agent.node_id)[-4:] == [
        "node.suspect",
        "node.lost",
        "node.joining",
        "node.ready",
    ]


def test_only_chips_that_new_work_could_get_count_as_free(cluster: Cluster) -> None:
    for name in ("open", "cordoned", "retired"):
        cluster.node(name, {BIG: 1})
    cluster.intend("cordoned", NodeIntent.CORDONED)
    for intent in (NodeIntent.CORDONED, NodeIntent.RETIRED):
        cluster.intend("retired", intent)

    def counts() -> tuple[int, int, int]:
        found = list_chip_types(cluster.deps).items[0]
        return found.total, found.healthy, found.free_milli

    assert counts() == (2, 2, 1000)
    cluster.clock.advance(16)
    cluster.sweep()
    assert counts() == (2, 2, 0)
    cluster.clock.advance(60)
    cluster.sweep()
    assert counts() == (2, 0, 0)
    free = [it.free_milli for it in list_chips(cluster.deps, ADMIN, 10, None, retired=True).items]
    assert free == [0, 0, 0]


def test_silence_counts_from_when_we_began_to_listen(cluster: Cluster) -> None:
    """After our own absence no node is blamed for it."""
    cluster.node("a")
    cluster.clock.advance(3600)
    cluster.listening_since = lease_time(cluster.deps.store)
    cluster.sweep()
    assert cluster.node_row("a").health == "ready"


def test_nothing_is_placed_on_a_node_that_nobody_has_heard_of_lately(cluster: Cluster) -> None:
    """After our own absence it takes a heartbeat, not only the absence of blame."""
    agent = cluster.node("a")
    cluster.clock.advance(3600)
    cluster.listening_since = lease_time(cluster.deps.store)
    cluster.submit(a_task("one"))
    cluster.sweep()
    assert cluster.cycle() == 0
    assert cluster.job("one").reason == "suspect"
    agent.beat()
    assert cluster.events(agent.node_id)[-1] == "node.heard"
    assert cluster.cycle() == 1


def _enrol(cluster: Cluster, token: str, name: str) -> str:
    request = EnrolRequest(join_token=token, name=name, inventory=an_inventory({BIG: 1}))
    return enrol_node(cluster.deps, request).credential


def _beat(cluster: Cluster, node_id: str, inventory: Inventory | None = None) -> HeartbeatReply:
    request = HeartbeatRequest(instance="1", generation=0, inventory=inventory)
    return record_heartbeat(cluster.deps, NodeId(node_id), request)


def _sample(cluster: Cluster, node_id: str, health: ChipHealth) -> None:
    sample = ChipSample(key=f"{BIG}-0", health=health)
    request = HeartbeatRequest(instance="1", generation=0, samples=(sample,))
    record_heartbeat(cluster.deps, NodeId(node_id), request)


def _chips(cluster: Cluster) -> list[str]:
    with cluster.deps.store.read() as tx:
        return [chip.id for chip in tx.chips.present()]
