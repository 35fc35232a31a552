"""Which chip types a gang would rather have."""

from __future__ import annotations

from scheduler.place.feasibility import eligible
from scheduler.place.scoring import Candidate, candidates, throughput
from scheduler.snapshot.columns import columns_of
from tests.builders import GIB, JobBuilder, PoolBuilder, a_job, a_pool

JOB = a_job().training(1).work("train/x")


def _candidates(pool: PoolBuilder, job: JobBuilder = JOB) -> list[Candidate]:
    places = eligible(job.gang, columns_of(pool.snapshot).layout)
    return candidates(job.gang, places, pool.snapshot.speeds, {})


def _order(pool: PoolBuilder) -> list[str | None]:
    return [it.chip_type for it in _candidates(pool)]


def test_the_fastest_type_comes_first_where_all_speeds_are_known() -> None:
    pool = a_pool().node("a", "a-1", 1).node("b", "b-1", 1).node("c", "c-1", 1)
    assert _order(pool.speeds("train/x", a_1=0.0, b_1=0.5, c_1=9.0)) == ["c-1", "b-1", "a-1"]


def test_a_type_of_unknown_speed_comes_after_those_that_were_measured() -> None:
    pool = a_pool().node("a", "a-1", 1).node("b", "b-1", 1).speeds("train/x", b_1=0.5)
    assert _order(pool) == ["b-1", "a-1"]


def test_emulated_chips_come_first_only_where_all_are_known_and_they_are_faster() -> None:
    pool = a_pool().node("a", "emulated-1", 1, emulated=True).node("b", "real-1", 1)
    assert _order(pool.speeds("train/x", emulated_1=9.0, real_1=1.0)) == ["emulated-1", "real-1"]
    assert _order(pool.speeds("train/x", emulated_1=9.0)) == ["real-1", "emulated-1"]
    assert _order(pool.speeds("train/x", emulated_1=1.0, real_1=1.0)) == ["real-1", "emulated-1"]


def test_among_equals_the_least_memory_comes_first_and_unknown_memory_counts_as_none() -> None:
    pool = a_pool().node("a", "a-1", 1, memory_bytes=GIB).node("b", "b-1", 1, memory_bytes=1)
    assert _order(pool.node("c", "c-1", 1, memory_bytes=None)) == ["c-1", "b-1", "a-1"]
    assert _order(
        a_pool().node("b", "b-1", 1, memory_bytes=1).node("c", "c-1", 1, memory_bytes=None)
    ) == ["c-1", "b-1"]


def test_members_are_worth_their_speed_or_their_number_where_it_is_unknown() -> None:
    pool = a_pool().node("a", "a-1", 1)
    (unknown,), (known,) = _candidates(pool), _candidates(pool.speeds("train/x", a_1=4.0))
    assert (throughput(unknown, 3), throughput(known, 3)) == (3, 12)
