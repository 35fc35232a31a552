"""A job's events name the rank, the node and the chips: who reads them at night asks no further."""

from __future__ import annotations

from control_plane.store.models import Event
from tests.fakes.cluster import Cluster, a_gang, a_server, a_task


def test_every_event_of_a_replica_names_rank_node_and_chips(cluster: Cluster) -> None:
    cluster.node("left", {"emulated-a100": 1})
    cluster.node("right", {"emulated-a100": 1})
    job_id = cluster.submit(a_gang("pair", 2))
    cluster.steps(4)
    where = {replica.rank: replica.node_id for replica in cluster.replicas("pair")}
    names = {cluster.agents[name].node_id: name for name in ("left", "right")}
    for rank in (0, 1):
        cluster.finish("pair", rank=rank)
    events = _events(cluster, job_id)
    told = [event for event in events if event.type.startswith("replica.")]
    assert len(told) == 6
    for event in told:
        rank = event.data["rank"]
        node = names[where[rank]]
        assert event.message.startswith(f"rank {rank} on node {node} (1 × emulated-a100): ")
        assert event.data["node"] == where[rank]
        assert (event.data["node_name"], event.data["chip_types"]) == (node, ["emulated-a100"])
    leases = {event.message for event in events if event.type == "lease.released"}
    assert leases == {
        f"lease of rank {rank} on node {names[where[rank]]} (1 × emulated-a100) released"
        for rank in (0, 1)
    }
    (placed,) = [event.message for event in events if event.type == "job.starting"]
    assert placed.startswith("attempt 1 placed: 2 × emulated-a100 on ")
    assert {word.strip() for word in placed.rpartition(" on ")[2].split(",")} == {"left", "right"}


def test_a_lost_replica_is_named_too(cluster: Cluster) -> None:
    agent = cluster.node("far", {"emulated-a100": 1})
    job_id = cluster.submit(a_task("one"))
    cluster.steps(2)
    agent.online = False
    cluster.steps(2, 36)
    messages = {event.type: event.message for event in _events(cluster, job_id)}
    assert messages["replica.lost"].startswith("rank 0 on node far (1 × emulated-a100): ")
    assert messages["lease.expired"] == "lease of rank 0 on node far (1 × emulated-a100) expired"


def test_the_replicas_of_a_server_are_counted(cluster: Cluster) -> None:
    cluster.node("a", {"emulated-a100": 2})
    job_id = cluster.submit(a_server("two", 2))
    cluster.steps(3)
    told = {it.message for it in _events(cluster, job_id) if it.type == "replica.running"}
    assert told == {f"replica {number} on node a (1 × emulated-a100): running" for number in (0, 1)}


def _events(cluster: Cluster, job_id: str) -> list[Event]:
    with cluster.deps.store.read() as tx:
        return list(tx.events.of_object(job_id, 0, 100))
