"""Victims: the cheapest by lost work, held against every possible choice on small pools."""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations

from hypothesis import given, settings
from hypothesis import strategies as st

from scheduler.model import JobType, RunningGang, Snapshot
from scheduler.place.gang import Supply, seat_gang
from scheduler.policies.priority_age import PRIORITY_AGE
from scheduler.preempt import Runners, rescue
from scheduler.quota import used_later
from scheduler.snapshot.columns import columns_of
from tests.builders import NOON, JobBuilder, PoolBuilder, a_job, a_pool, plan_for


def test_the_victim_with_least_lost_work_goes() -> None:
    pool = a_pool().node("a", "nvidia-h200", 2)
    pool = pool.running("fresh", 1, "nvidia-h200", priority=10, lost_work_s=5)
    pool = pool.running("long", 1, "nvidia-h200", priority=5, lost_work_s=500)
    assert plan_for(pool, a_job().asking().priority(90)).victims() == ["fresh"]


def test_one_costlier_victim_goes_rather_than_two_that_cost_more_together() -> None:
    pool = a_pool().node("a", "nvidia-h200", 2).node("b", "nvidia-h200", 2)
    pool = pool.running("a1", 1, "nvidia-h200", node="a", priority=10, lost_work_s=100)
    pool = pool.running("a2", 1, "nvidia-h200", node="a", priority=10, lost_work_s=100)
    pool = pool.running("b", 2, "nvidia-h200", node="b", priority=10, lost_work_s=60)
    assert plan_for(pool, a_job().asking(2).priority(90)).victims() == ["b"]


def test_victims_for_a_member_are_taken_from_one_node() -> None:
    pool = a_pool().node("a", "nvidia-h200", 2).node("b", "nvidia-h200", 2)
    for node, lost_work_s in (("a", 10.0), ("b", 20.0), ("a", 400.0), ("b", 20.0)):
        name = f"{node}-{lost_work_s:.0f}-{len(pool.snapshot.running)}"
        pool = pool.running(name, 1, "nvidia-h200", node=node, priority=10, lost_work_s=lost_work_s)
    assert plan_for(pool, a_job().asking(2).priority(90)).victims() == ["b-20-1", "b-20-3"]


def test_jobs_of_other_projects_stay() -> None:
    pool = a_pool().node("a", "nvidia-h200", 1)
    pool = pool.running("theirs", 1, "nvidia-h200", priority=1, project="theirs")
    made = plan_for(pool, a_job("high").asking().priority(90))
    assert made.victims() == []
    assert made.code("high") == "busy"


def test_batch_never_stops_serving_but_serving_stops_either() -> None:
    pool = a_pool().node("a", "nvidia-h200", 1)
    served = pool.running("chat", 1, "nvidia-h200", priority=1, type=JobType.SERVE)
    assert plan_for(served, a_job().asking().priority(90)).victims() == []
    assert plan_for(served, a_job().training(1).priority(90)).victims() == []
    assert plan_for(served, a_job().serving().priority(90)).victims() == ["chat"]
    batch = pool.running("batch", 1, "nvidia-h200", priority=1)
    assert plan_for(batch, a_job().serving().priority(90)).victims() == ["batch"]


def test_gangs_that_may_not_be_preempted_stay() -> None:
    pool = a_pool().node("a", "nvidia-h200", 1)
    pool = pool.running("fixed", 1, "nvidia-h200", priority=1, preemptible=False)
    assert plan_for(pool, a_job().asking().priority(90)).victims() == []


def test_a_gang_on_host_cores_alone_may_be_a_victim() -> None:
    pool = a_pool().node("a", "nvidia-h200", 1, cores=4)
    pool = pool.running("cpu", 1, "nvidia-h200", milli=1, priority=1, cores_milli=4000)
    assert plan_for(pool, a_job().priority(90)).victims() == ["cpu"]


def test_a_job_of_the_same_queue_makes_room_under_its_limit() -> None:
    pool = a_pool().node("a", "nvidia-h200", 2).queue("research", any=1)
    pool = pool.running("low", 1, "nvidia-h200", priority=10, queue="research")
    made = plan_for(pool, a_job("high").asking().priority(90).in_queue("research"))
    assert made.victims() == ["low"]
    assert made.code("high") == "preempting"


@given(
    loads=st.lists(
        st.tuples(st.sampled_from("ab"), st.sampled_from([1, 2]), st.integers(0, 9)),
        min_size=1, max_size=5,
    ),
    chips=st.integers(1, 3),
    members=st.integers(1, 3),
)  # fmt: skip
@settings(max_examples=60)
def test_among_few_candidates_no_other_choice_loses_less(
    loads: list[tuple[str, int, int]], chips: int, members: int
) -> None:
    pool = a_pool().node("a", "nvidia-h200", 4).node("b", "nvidia-h200", 4)
    room = {"a": 4, "b": 4}
    for number, (node, count, lost) in enumerate(loads):
        if count <= room[node]:
            room[node] -= count
            pool = pool.running(
                f"r{number}", count, "nvidia-h200", node=node, priority=10, lost_work_s=lost * 60.0
            )
    snapshot = _fill_up(pool, room)
    gang = a_job("high").gang_of(members, chips).priority(90)
    found = _chosen_cost(snapshot, gang)
    best = _least_cost(snapshot, gang)
    assert (found is None) == (best is None)
    if found is not None and best is not None:
        assert found == best


@given(st.lists(st.integers(0, 30), min_size=16, max_size=16), st.integers(1, 4), st.integers(1, 3))
@settings(max_examples=20)
def test_among_many_candidates_no_victim_could_be_spared(
    lost: list[int], chips: int, members: int
) -> None:
    pool = a_pool()
    for node in "abcd":
        pool = pool.node(node, "nvidia-h200", 4)
        for number in range(4):
            lost_work_s = lost["abcd".index(node) * 4 + number] * 60.0
            pool = pool.running(
                f"{node}{number}", 1, "nvidia-h200", node=node, priority=10, lost_work_s=lost_work_s
            )
    gang, later = a_job().gang_of(members, chips).priority(90).gang, _later(pool.snapshot)
    found = rescue(
        gang, later, Runners(pool.snapshot.running, later.layout, PRIORITY_AGE, NOON), frozenset()
    )
    assert found is not None
    assert len(found.victims) == members * chips
    for spared in found.victims:
        others = [it for it in found.victims if it is not spared]
        assert seat_gang(gang, later.give(others)) is None


def _fill_up(pool: PoolBuilder, room: dict[str, int]) -> Snapshot:
    """What is left is held by a job of equal priority, which cannot be a victim."""
    for node, count in room.items():
        if count:
            pool = pool.running(f"peer-{node}", count, "nvidia-h200", node=node, priority=90)
    return pool.snapshot


def _later(snapshot: Snapshot) -> Supply:
    return Supply(columns_of(snapshot).later, used_later(snapshot), snapshot.speeds)


def _chosen_cost(snapshot: Snapshot, job: JobBuilder) -> float | None:
    later = _later(snapshot)
    found = rescue(
        job.gang, later, Runners(snapshot.running, later.layout, PRIORITY_AGE, NOON), frozenset()
    )
    return None if found is None else sum(_cost(it) for it in found.victims)


def _least_cost(snapshot: Snapshot, job: JobBuilder) -> float | None:
    """By trying every set."""
    later = _later(snapshot)
    able = [it for it in snapshot.running if it.priority < job.gang.priority]
    costs = [
        sum(_cost(it) for it in some)
        for size in range(1, len(able) + 1)
        for some in combinations(able, size)
        if seat_gang(replace(job.gang), later.give(some)) is not None
    ]
    return min(costs, default=None)


def _cost(gang: RunningGang) -> float:
    assert gang.saved_at is not None
    lost_work_s = (NOON - gang.saved_at).total_seconds()
    return len(gang.chips) * (lost_work_s + PRIORITY_AGE.restart_cost_s)
