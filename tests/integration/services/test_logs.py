"""Log bytes by offset: no gap and no repeat, whatever is sent again, late or by the dead."""

from __future__ import annotations

import base64

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from control_plane.errors import Invalid
from control_plane.hints.topics import log_topic
from control_plane.services.logs.record import record_logs
from penstock.api.assignments import LogChunk, LogReply, LogRequest
from penstock.api.ids import NodeId, ReplicaId
from penstock.api.states import ExitReason
from tests.fakes.cluster import Cluster, a_task
from tests.fakes.node_agent import FakeAgent

TEXT = b"0123456789abcdefghij"


def test_bytes_arrive_once_and_in_order(cluster: Cluster) -> None:
    agent, replica_id = _running(cluster)
    assert _send(cluster, agent, replica_id, (0, 4)).offsets == {replica_id: 4}
    assert _send(cluster, agent, replica_id, (0, 4)).offsets == {replica_id: 4}, "a repeat"
    assert _send(cluster, agent, replica_id, (9, 3)).offsets == {replica_id: 4}, "a gap"
    assert _send(cluster, agent, replica_id, (2, 6)).offsets == {replica_id: 8}, "an overlap"
    assert _send(cluster, agent, replica_id, (8, 2), (10, 2)).offsets == {replica_id: 12}
    assert _log(cluster, replica_id) == TEXT[:12]


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(pieces=st.lists(st.tuples(st.integers(0, 19), st.integers(0, 20)), max_size=12))
def test_whatever_is_sent_the_log_is_a_beginning_of_the_output(
    cluster: Cluster, pieces: list[tuple[int, int]]
) -> None:
    if "a" not in cluster.agents:
        cluster.node("a", {"emulated-a100": 1})
    cluster.submit(a_task("one"))
    cluster.steps(2)
    (replica,) = cluster.replicas("one")
    agent = cluster.agents["a"]
    end = 0
    for piece in pieces:
        told = _send(cluster, agent, replica.id, piece).offsets[replica.id]
        assert told >= end
        end = told
    assert _log(cluster, replica.id) == TEXT[:end]
    cluster.finish("one")


def test_readers_are_told(cluster: Cluster) -> None:
    agent, replica_id = _running(cluster)
    cluster.hub.published.clear()
    _send(cluster, agent, replica_id, (0, 4))
    assert cluster.hub.published == [log_topic(cluster.job("one").id)]


def test_the_last_lines_may_follow_the_exit(cluster: Cluster) -> None:
    agent, replica_id = _running(cluster)
    cluster.finish("one")
    assert _send(cluster, agent, replica_id, (0, 4)).offsets == {replica_id: 4}


def test_the_lines_of_a_lost_replica_are_refused(cluster: Cluster) -> None:
    agent, replica_id = _running(cluster)
    agent.online = False
    cluster.steps(2, 36)
    refused = _send(cluster, agent, replica_id, (0, 4)).refused
    assert [(it.replica_id, it.code) for it in refused] == [(replica_id, "stale_epoch")]
    assert _log(cluster, replica_id) == b""


def test_a_replica_lost_while_its_bytes_arrive_gets_no_more_of_them(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    agent, replica_id = _running(cluster)
    write = type(cluster.deps.logs).write

    def lost_meanwhile(self: object, *args: object) -> None:
        agent.online = False
        cluster.clock.advance(36)
        cluster.sweep()
        write(self, *args)  # type: ignore[arg-type]

    monkeypatch.setattr(type(cluster.deps.logs), "write", lost_meanwhile)
    _send(cluster, agent, replica_id, (0, 4))
    with cluster.deps.store.read() as tx:
        row = tx.replicas.get(ReplicaId(replica_id))
    assert row is not None
    assert (row.state, row.log_bytes) == ("lost", 0)


def test_what_nobody_knows_or_another_node_runs_is_refused(cluster: Cluster) -> None:
    _, replica_id = _running(cluster)
    thief = cluster.node("b", {})
    refused = _send(cluster, thief, replica_id, (0, 4)).refused
    assert [it.code for it in refused] == ["not_yours"]
    refused = _send(cluster, thief, "replica_0", (0, 4)).refused
    assert [it.code for it in refused] == ["unknown_replica"]


def test_bytes_that_are_not_base64_are_refused(cluster: Cluster) -> None:
    agent, replica_id = _running(cluster)
    chunk = LogChunk(replica_id=ReplicaId(replica_id), epoch=1, offset=0, data="no base64!")
    with pytest.raises(Invalid, match="not base64"):
        record_logs(cluster.deps, NodeId(agent.node_id), LogRequest(chunks=(chunk,)))


def test_a_storage_that_takes_nothing_asks_agents_to_wait(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    agent, replica_id = _running(cluster)
    _send(cluster, agent, replica_id, (0, 4))

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as broken:
        broken.setattr(type(cluster.deps.logs), "write", full)
        reply = _send(cluster, agent, replica_id, (4, 4))
        assert reply.retry_after_s is not None
        assert reply.offsets == {}
    assert _send(cluster, agent, replica_id, (4, 4)).offsets == {replica_id: 8}
    assert _log(cluster, replica_id) == TEXT[:8]


def test_an_attempt_that_failed_does_not_speak_for_the_next_one(cluster: Cluster) -> None:
    agent, replica_id = _running(cluster)
    cluster.finish("one", ExitReason.KILLED)
    cluster.steps(3)
    chunk = LogChunk(replica_id=ReplicaId(replica_id), epoch=2, offset=0, data="")
    reply = record_logs(cluster.deps, NodeId(agent.node_id), LogRequest(chunks=(chunk,)))
    assert [it.code for it in reply.refused] == ["stale_epoch"]


def _running(cluster: Cluster) -> tuple[FakeAgent, str]:
    agent = cluster.node("a")
    cluster.submit(a_task("one"))
    cluster.steps(2)
    return agent, cluster.replicas("one")[0].id


def _send(
    cluster: Cluster, agent: FakeAgent, replica_id: str, *pieces: tuple[int, int]
) -> LogReply:
    chunks = tuple(
        LogChunk(
            replica_id=ReplicaId(replica_id),
            epoch=1,
            offset=offset,
            data=base64.b64encode(TEXT[offset : offset + length]).decode(),
        )
        for offset, length in pieces
    )
    return record_logs(cluster.deps, NodeId(agent.node_id), LogRequest(chunks=chunks))


def _log(cluster: Cluster, replica_id: str) -> bytes:
    """As far as the database says that it goes."""
    with cluster.deps.store.read() as tx:
        row = tx.replicas.get(ReplicaId(replica_id))
    assert row is not None
    return cluster.deps.logs.read(ReplicaId(replica_id), 0, row.log_bytes)
