"""Every invariant catches the plan that breaks it, and lets the sound one pass."""

from __future__ import annotations

from dataclasses import replace

import pytest

from scheduler.invariants import check
from scheduler.model import (
    ChipId,
    Closed,
    Code,
    GangId,
    JobId,
    NodeId,
    Outranked,
    Place,
    Plan,
    Preempt,
    Seat,
    Snapshot,
)
from tests.builders import GIB, JobBuilder, PoolBuilder, a_job, a_pool, plan_for

POOL = a_pool().node("a", "nvidia-h200", 2, cores=8).node("b", "ascend-910b", 2, cores=8)
FIRST, SECOND = "node-a-nvidia-h200-0", "node-a-nvidia-h200-1"
OTHER = "node-b-ascend-910b-0"


def test_a_sound_plan_breaks_nothing() -> None:
    made = plan_for(POOL, a_job("one").asking(), a_job("two").training(2), a_job("three"))
    assert check(made.snapshot, made.plan) == ()


def test_a_gang_that_is_not_decided() -> None:
    assert _broken(Plan()) == ["every gang is decided once"]


def test_a_gang_that_is_placed_and_deferred() -> None:
    plan = replace(_plan(_seat()), deferrals={GangId("gang-job-1"): Code.BUSY})
    assert "every gang is decided once" in _broken(plan)


def test_a_gang_of_which_a_part_is_placed() -> None:
    assert _broken(_plan(_seat()), a_job().training(2)) == ["gangs are whole or absent"]


def test_a_rank_that_is_given_twice() -> None:
    plan = _plan(_seat(FIRST), _seat(SECOND))
    assert _broken(plan, a_job().training(2)) == ["gangs are whole or absent"]


@pytest.mark.parametrize(
    "job",
    [
        a_job().asking(1, "ascend"),
        a_job().asking(1, milli=500),
        a_job().asking(2),
        a_job().asking(1, memory_bytes=900 * GIB),
        a_job(),
    ],
)
def test_chips_that_were_not_asked_for(job: JobBuilder) -> None:
    assert _broken(_plan(_seat()), job) == ["members get what they asked for"]


def test_chips_of_another_node_than_the_members() -> None:
    plan = _plan(replace(_seat(), node_id=NodeId("node-b")))
    assert _broken(plan) == ["members get what they asked for"]


def test_a_mix_that_was_not_allowed() -> None:
    seats = (_seat(FIRST), replace(_seat(OTHER), rank=1, node_id=NodeId("node-b")))
    assert _broken(_plan(*seats), a_job().training(2)) == ["members get what they asked for"]
    assert _broken(_plan(*seats), a_job().training(2).mixed()) == []


def test_a_closed_node_and_an_unhealthy_chip() -> None:
    closed = a_pool().node("a", "nvidia-h200", 1, closed=Closed.DRAINING)
    ill = a_pool().node("a", "nvidia-h200", 1, healthy=False)
    for pool in (closed, ill):
        broken = _broken(_plan(_seat()), pool=pool)
        assert broken == ["closed nodes and unhealthy chips stay unused"]


def test_a_chip_over_its_capacity() -> None:
    pool = POOL.running("other", 1, "nvidia-h200", milli=600)
    half = replace(_seat(), chips={ChipId(FIRST): 500})
    broken = _broken(_plan(half), a_job().asking(1, milli=500), pool)
    assert broken == ["no chip is over its capacity"]


def test_a_host_over_its_cores_and_over_its_memory() -> None:
    for seat in (replace(_seat(), cores_milli=8001), replace(_seat(), memory_bytes=257 * GIB)):
        assert _broken(_plan(seat)) == ["no host is over its cores and memory"]


def test_a_queue_over_its_limit() -> None:
    for limit in ({"any": 1}, {"nvidia_h200": 1}):
        pool = POOL.queue("research", {"nvidia-h200": 500}, **limit)
        broken = _broken(_plan(_seat()), a_job().asking().in_queue("research"), pool)
        assert broken == ["no queue is over its limits"]


def test_a_queue_that_is_over_its_limit_but_takes_no_more() -> None:
    pool = POOL.queue("research", {"nvidia-h200": 5000}, any=1)
    assert _broken(_plan(_seat()), a_job().asking(), pool) == []


def test_a_victim_that_is_no_lower() -> None:
    pool = POOL.running("peer", 1, "nvidia-h200", priority=50)
    plan = Plan(
        (Preempt(GangId("gang-peer"), GangId("gang-job-1"), Outranked("job-1", 50, 50)),),
        {GangId("gang-job-1"): Code.PREEMPTING},
    )
    assert _broken(plan, pool=pool) == ["only lower priorities of the own project make room"]


def test_a_lower_priority_that_starts_in_a_higher_ones_place() -> None:
    pool = a_pool().node("a", "nvidia-h200", 1)
    jobs = (a_job("high").asking().priority(90), a_job().asking())
    snapshot = replace(pool.snapshot, queued=tuple(job.gang for job in jobs))
    plan = replace(_plan(_seat()), deferrals={GangId("gang-high"): Code.BUSY})
    assert _names(snapshot, plan) == ["no lower priority passes a gang that fits"]


def _seat(chip: str = FIRST) -> Seat:
    return Seat(0, NodeId("node-a"), {ChipId(chip): 1000}, 1000, GIB)


def _plan(*seats: Seat) -> Plan:
    return Plan((Place(GangId("gang-job-1"), JobId("job-job-1"), seats),))


def _broken(plan: Plan, job: JobBuilder | None = None, pool: PoolBuilder = POOL) -> list[str]:
    job = job or a_job().asking()
    return _names(replace(pool.snapshot, queued=(job.gang,)), plan)


def _names(snapshot: Snapshot, plan: Plan) -> list[str]:
    return [violation.invariant for violation in check(snapshot, plan)]
