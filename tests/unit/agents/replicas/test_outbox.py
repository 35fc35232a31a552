"""Observations keep their order and every state, however often sending fails."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from agents.replicas.outbox import Outbox
from penstock.api.assignments import ExitRecord, Observation, ReportRequest
from penstock.api.ids import ReplicaId
from penstock.api.jobs import Progress
from penstock.api.states import ExitReason, ReplicaState

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def seen(replica: str, state: ReplicaState = ReplicaState.RUNNING, **fields: Any) -> Observation:
    return Observation(
        replica_id=ReplicaId(replica), epoch=1, state=state, observed_at=NOW, **fields
    )


def taken(outbox: Outbox) -> tuple[Observation, ...]:
    request = outbox.take()
    return request.observations if request is not None else ()


def test_words_about_one_state_travel_as_one() -> None:
    outbox = Outbox()
    outbox.put(seen("a", address="h:1", result={"x": 1, "y": 1}))
    outbox.put(seen("a", progress=Progress(step=3), result={"y": 2}))
    (one,) = taken(outbox)
    assert (one.address, one.progress, one.result) == ("h:1", Progress(step=3), {"x": 1, "y": 2})


def test_readiness_lost_is_not_hidden_by_readiness_gained_before() -> None:
    outbox = Outbox()
    outbox.put(seen("a", ready=True))
    outbox.put(seen("a", ready=False))
    assert [it.ready for it in taken(outbox)] == [False]


def test_no_state_is_merged_away() -> None:
    outbox = Outbox()
    states = [ReplicaState.STARTING, ReplicaState.RUNNING, ReplicaState.EXITED]
    record = ExitRecord(reason=ExitReason.COMPLETED, ended_at=NOW)
    for state in states:
        outbox.put(seen("a", state, exit=record if state is ReplicaState.EXITED else None))
    assert [it.state for it in taken(outbox)] == states


def test_a_request_is_bounded_and_never_splits_a_replica() -> None:
    outbox = Outbox()
    for replica in ("a", "b"):
        outbox.put(seen(replica, ReplicaState.STARTING))
        outbox.put(seen(replica))
    first = outbox.take(at_most=3)
    assert first is not None
    assert [it.replica_id for it in first.observations] == ["a", "a"]
    assert [it.replica_id for it in taken(outbox)] == ["b", "b"]
    assert outbox.take() is None


@given(st.lists(st.tuples(st.sampled_from("ab"), st.integers(0, 3), st.booleans()), max_size=20))
def test_failed_sending_changes_neither_order_nor_content(
    history: list[tuple[str, int, bool]],
) -> None:
    order = list(ReplicaState)[1:5]
    plain, shaken = Outbox(), Outbox()
    for replica, number, fails in history:
        observation = seen(replica, order[number], message=str(number))
        plain.put(observation)
        shaken.put(observation)
        if fails:
            request = shaken.take()
            assert isinstance(request, ReportRequest)
            shaken.back(request)
    before, after = taken(plain), taken(shaken)
    for replica in "ab":
        assert [it for it in before if it.replica_id == replica] == [
            it for it in after if it.replica_id == replica
        ]


def test_what_is_dropped_is_not_told() -> None:
    outbox = Outbox()
    outbox.put(seen("a"))
    outbox.drop(ReplicaId("a"))
    assert not outbox.holds(ReplicaId("a"))
    assert len(outbox) == 0
