"""Chip-seconds are the leases' own time, whatever is run twice, late or at the same moment."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from math import fsum

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import delete, select

from control_plane.services.usage import roll_up as module
from control_plane.services.usage.meter_tokens import Metered, meter_tokens
from control_plane.services.usage.roll_up import hours, roll_up_usage
from control_plane.store.models import Lease, TokenUsage, Usage
from control_plane.store.unit_of_work import Transaction
from penstock.api.ids import EndpointId, ProjectId, TokenId
from penstock.api.states import LeaseState
from tests.fakes.cluster import BIG, SMALL, Cluster, a_task
from tests.integration.conftest import START

HORIZON_S = 50_000
Span = tuple[int, float, float | None, int]
spans = st.tuples(
    st.integers(0, 2),  # which job
    st.floats(0, 20_000),  # granted, seconds after the start
    st.none() | st.floats(0, 20_000),  # lasted; none: still held
    st.sampled_from([250, 500, 1000, 2000]),  # thousandths: 2000 are two chips
)


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(leases=st.lists(spans, max_size=8), looks=st.lists(st.floats(0, 30_000), max_size=4))
def test_whenever_one_looks_the_sum_is_that_of_the_leases(
    cluster: Cluster, leases: list[Span], looks: list[float]
) -> None:
    _clear(cluster)
    cluster.clock.advance((START - cluster.clock.now()).total_seconds())
    cluster.deps.run(lambda tx: _add_leases(tx, leases))
    for seconds in sorted(looks):
        cluster.clock.advance(seconds - (cluster.clock.now() - START).total_seconds())
        roll_up_usage(cluster.deps)
        assert roll_up_usage(cluster.deps) == 0, "a second time there is nothing to do"
    cluster.clock.advance(100_000)
    cluster.deps.run(_end_all)
    roll_up_usage(cluster.deps)
    rows = _rows(cluster)
    for job in range(3):
        wanted = fsum(
            (lasted if lasted is not None else HORIZON_S - granted) * milli / 1000
            for which, granted, lasted, milli in leases
            if which == job
        )
        got = fsum(row.chip_seconds for row in rows if row.job_id == f"job_{job}")
        assert got == pytest.approx(wanted, abs=1e-4)
    assert all(row.chip_seconds <= 3600 * 2 * len(leases) + 1e-6 for row in rows)


@given(st.floats(0, 10**6), st.floats(0, 10**6))
def test_hours_cut_an_interval_without_gap_or_overlap(after: float, seconds: float) -> None:
    begin = START + timedelta(seconds=after)
    end = begin + timedelta(seconds=seconds)
    pieces = list(hours(begin, end))
    assert fsum(length for _, length in pieces) == pytest.approx((end - begin).total_seconds())
    assert all(0 < length <= 3600 for _, length in pieces)
    assert [hour for hour, _ in pieces] == sorted({hour for hour, _ in pieces})


def test_every_lease_is_reached_however_many_are_held(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "BATCH", 2)
    cluster.deps.run(lambda tx: _add_leases(tx, [(0, 0.0, None, 1000)] * 5 + [(1, 0.0, 60.0, 500)]))
    cluster.clock.advance(60)
    assert roll_up_usage(cluster.deps) == 6
    assert {row.job_id: row.chip_seconds for row in _rows(cluster)} == {"job_0": 300, "job_1": 30}


def test_a_long_pause_is_counted_in_pieces(cluster: Cluster) -> None:
    cluster.deps.run(lambda tx: _add_leases(tx, [(0, 0.0, None, 1000)]))
    cluster.clock.advance(50 * 3600)
    assert roll_up_usage(cluster.deps) == 9, "the lease moved on by six hours at once"
    assert sum(row.chip_seconds for row in _rows(cluster)) == 50 * 3600


def test_roll_ups_at_the_same_time_count_once(cluster: Cluster) -> None:
    cluster.node("a", {BIG: 2, SMALL: 1})
    cluster.submit(a_task("one", resources={"chips": 2, "chip": BIG}))
    cluster.steps(3)
    cluster.clock.advance(1000)
    with ThreadPoolExecutor(4) as threads:
        list(threads.map(lambda _: roll_up_usage(cluster.deps), range(4)))
    (lease,) = cluster.leases()
    held_s = (cluster.clock.now() - lease.granted_at).total_seconds()
    assert [(row.chip_type, row.chip_seconds) for row in _rows(cluster)] == [(BIG, 2 * held_s)]


def test_tokens_counted_at_the_same_time_are_all_counted(cluster: Cluster) -> None:
    used = Metered(
        ProjectId("project_0"),
        TokenId("token_0"),
        EndpointId("endpoint_0"),
        BIG,
        prompt_tokens=3,
        completion_tokens=5,
    )
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(lambda _: meter_tokens(cluster.deps, used), range(40)))
    with cluster.deps.store.read() as tx:
        (row,) = tx._session.scalars(select(TokenUsage)).all()
    assert (row.num_requests, row.prompt_tokens, row.completion_tokens) == (40, 120, 200)


def _add_leases(tx: Transaction, leases: list[Span]) -> None:
    for number, (job, granted, lasted, milli) in enumerate(leases):
        chips = [{"type": BIG, "milli": min(1000, milli)}] * max(1, milli // 1000)
        at = START + timedelta(seconds=granted)
        ended = None if lasted is None else at + timedelta(seconds=lasted)
        state = LeaseState.HELD if ended is None else LeaseState.RELEASED
        tx.leases.add(
            Lease(
                id=f"lease_{number}",
                replica_id=f"replica_{number}",
                project_id="project_0",
                job_id=f"job_{job}",
                node_id="node_0",
                queue="default",
                epoch=1,
                state=state,
                chips=chips,
                cores_milli=0,
                memory_bytes=0,
                ttl_s=30.0,
                granted_at=at,
                expires_at=at,
                ended_at=ended,
                rolled_up_to=None,
            )
        )


def _end_all(tx: Transaction) -> None:
    for lease in tx.leases.held():
        lease.state, lease.ended_at = LeaseState.RELEASED, START + timedelta(seconds=HORIZON_S)


def _rows(cluster: Cluster) -> list[Usage]:
    with cluster.deps.store.read() as tx:
        return list(tx._session.scalars(select(Usage).order_by(Usage.job_id)))


def _clear(cluster: Cluster) -> None:
    def work(tx: Transaction) -> None:
        for table in (Lease, Usage):
            tx._session.execute(delete(table))

    cluster.deps.run(work)
