"""Properties that hold of every transition table."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from control_plane.domain import endpoint, job, lease, node, replica
from control_plane.domain.machine import IllegalMove, check_move, is_terminal, route
from control_plane.domain.replica import is_news
from penstock.api.states import JobState, ReplicaState

TABLES: dict[str, Mapping[Any, frozenset[Any]]] = {
    "job": job.ALLOWED,
    "replica": replica.ALLOWED,
    "health": node.HEALTH_ALLOWED,
    "intent": node.INTENT_ALLOWED,
    "lease": lease.ALLOWED,
    "endpoint": endpoint.ALLOWED,
}


@pytest.mark.parametrize("name", sorted(TABLES))
def test_every_state_has_a_row_and_every_target_is_a_state(name: str) -> None:
    table = TABLES[name]
    kind: type[StrEnum] = type(next(iter(table)))
    states = set(kind)
    assert set(table) == states
    assert {target for row in table.values() for target in row} <= states


@pytest.mark.parametrize("name", sorted(TABLES))
def test_a_route_walks_only_along_the_table(name: str) -> None:
    table = TABLES[name]
    for source in table:
        for target in table:
            state: StrEnum = source
            for step in route(table, source, target) or ():
                check_move(table, state, step)
                state = step


@pytest.mark.parametrize("state", sorted(job.TERMINAL))
def test_ended_jobs_absorb(state: JobState) -> None:
    assert is_terminal(job.ALLOWED, state)
    assert all(route(job.ALLOWED, state, other) is None for other in job.LIVE)


@pytest.mark.parametrize("state", sorted(replica.TERMINAL))
def test_nothing_leads_out_of_an_ended_replica(state: ReplicaState) -> None:
    with pytest.raises(IllegalMove):
        check_move(replica.ALLOWED, state, ReplicaState.RUNNING)


@given(st.lists(st.sampled_from(ReplicaState), max_size=12), st.randoms(use_true_random=False))
def test_repeated_and_late_observations_change_nothing(
    seen: list[ReplicaState], random: Any
) -> None:
    noisy = seen + [random.choice(seen) for _ in seen]
    observed = [state for state in noisy if state is not ReplicaState.ASSIGNED]
    state = ReplicaState.ASSIGNED
    for observation in observed:
        if is_news(state, observation):
            assert route(replica.ALLOWED, state, observation) is not None
            state = observation
    again = state
    for observation in observed:
        if is_news(again, observation):
            again = observation
    assert again == state


@given(st.lists(st.sampled_from(JobState), min_size=1, max_size=6))
def test_a_job_ends_only_when_all_its_gangs_have(gangs: list[JobState]) -> None:
    ended = all(state in job.TERMINAL for state in gangs)
    assert (job.derive(gangs) in job.TERMINAL) == ended


@given(st.sampled_from(JobState))
def test_a_job_of_one_gang_is_where_its_gang_is(state: JobState) -> None:
    assert job.derive([state]) == state
