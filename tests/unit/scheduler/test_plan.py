"""The pipeline: order, back-off, holds, preemption, and what one plan leaves for the next gang."""

from __future__ import annotations

from dataclasses import replace

from scheduler.model import Closed
from scheduler.plan import plan
from scheduler.policies.priority_age import PRIORITY_AGE
from tests.builders import NOON, a_job, a_pool, plan_for


def test_higher_priority_goes_first_then_the_older_then_the_smaller_id() -> None:
    pool = a_pool().node("a", "nvidia-h200", 3)
    jobs = [
        a_job("young").asking(),
        a_job("old").asking().age(60),
        a_job("b").asking().age(30),
        a_job("a").asking().age(30),
        a_job("high").asking().priority(90),
    ]
    assert plan_for(pool, *jobs).placed() == ["high", "old", "a"]


def test_a_gang_that_backs_off_waits_for_its_time() -> None:
    job = a_job().asking().not_before(30)
    planned = plan_for(a_pool().node("a", "nvidia-h200", 1), job)
    assert planned.code("job-1") == "backing_off"
    later = plan(planned.snapshot, PRIORITY_AGE, NOON.replace(minute=1))
    assert len(later.placements) == 1


def test_a_blocked_gang_does_not_stop_the_next_one() -> None:
    pool = a_pool().node("a", "nvidia-h200", 2)
    plan_made = plan_for(pool, a_job("big").training(64).age(9), a_job("small").asking())
    assert plan_made.placed() == ["small"]


def test_what_one_gang_takes_the_next_cannot_have() -> None:
    pool = a_pool().node("a", "nvidia-h200", 1)
    first = a_job("first").asking(1, milli=600).age(2)
    second = a_job("second").asking(1, milli=600).age(1)
    third = a_job("third").asking(1, milli=400)
    made = plan_for(pool, first, second, third)
    assert made.placed() == ["first", "third"]
    assert made.code("second") == "share"


def test_a_processor_and_emulated_chips_draw_on_the_same_cores() -> None:
    cpu = a_job("cpu").asking(1, "cpu").age(1)
    made = plan_for(a_pool().laptop(), cpu, a_job("emulated").asking(1, "emulated-a100"))
    assert made.placed() == ["cpu"]
    assert made.code("emulated") == "host_cores"


def test_closed_nodes_and_unhealthy_chips_get_nothing() -> None:
    for closed in Closed:
        pool = a_pool().node("a", "nvidia-h200", 1, closed=closed)
        made = plan_for(pool, a_job("chip").asking(), a_job("task"))
        assert made.placed() == []
        assert made.code("chip") == made.code("task") == closed.value
    made = plan_for(a_pool().node("a", "nvidia-h200", 1, healthy=False), a_job().asking())
    assert made.code("job-1") == "health"


def test_seats_are_kept_where_a_release_will_do() -> None:
    pool = a_pool().node("a", "nvidia-h200", 2).running("old", 1, "nvidia-h200", releasing=True)
    made = plan_for(pool, a_job("big").training(2).age(9), a_job("small").asking())
    assert made.placed() == []
    assert made.code("big") == "waiting_for_release"
    assert [hold.gang_id for hold in made.plan.holds] == ["gang-big"]
    assert made.code("small") == "busy"


def test_nothing_is_preempted_where_a_release_will_do() -> None:
    pool = a_pool().node("a", "nvidia-h200", 2)
    pool = pool.running("leaving", 1, "nvidia-h200", releasing=True, priority=10)
    pool = pool.running("staying", 1, "nvidia-h200", priority=10)
    made = plan_for(pool, a_job("high").asking().priority(90))
    assert made.victims() == []
    assert made.code("high") == "waiting_for_release"


def test_lower_priorities_take_what_a_hold_leaves_over() -> None:
    pool = a_pool().node("a", "nvidia-h200", 2).running("old", 1, "nvidia-h200", releasing=True)
    made = plan_for(pool, a_job("one").asking().age(9), a_job("two").asking())
    assert made.placed() == ["one"]
    assert made.code("two") == "waiting_for_release"


def test_preemption_makes_room_and_keeps_it() -> None:
    pool = a_pool().node("a", "nvidia-h200", 2).running("low", 2, "nvidia-h200", priority=10)
    high, middle = a_job("high").asking().priority(90), a_job("middle").asking().priority(40)
    made = plan_for(pool, high, middle)
    assert made.victims() == ["low"]
    assert made.plan.preemptions[0].for_gang_id == "gang-high"
    assert made.code("high") == "preempting"
    assert made.code("middle") == "waiting_for_release"


def test_equal_priority_is_not_preempted() -> None:
    pool = a_pool().node("a", "nvidia-h200", 1).running("low", 1, "nvidia-h200", priority=50)
    made = plan_for(pool, a_job().asking())
    assert made.victims() == []
    assert made.code("job-1") == "busy"


def test_nothing_is_preempted_unless_the_whole_gang_then_fits() -> None:
    pool = a_pool().node("a", "nvidia-h200", 2)
    pool = pool.running("low", 1, "nvidia-h200", priority=10)
    pool = pool.running("peer", 1, "nvidia-h200", priority=90)
    made = plan_for(pool, a_job("high").training(2).priority(90))
    assert made.victims() == []


def test_a_policy_may_forbid_preemption() -> None:
    pool = a_pool().node("a", "nvidia-h200", 1).running("low", 1, "nvidia-h200", priority=10)
    snapshot = replace(pool.snapshot, queued=(a_job().asking().priority(90).gang,))
    made = plan(snapshot, replace(PRIORITY_AGE, preempts=False), NOON)
    assert made.preemptions == ()


def test_the_code_of_a_wait_is_the_one_that_is_explained() -> None:
    pool = a_pool().node("a", "nvidia-h200", 2).running("one", 1, "nvidia-h200")
    jobs = [
        a_job("pair").training(2),
        a_job("two").asking(2),
        a_job("cores").asking(0, cores_milli=64_001),
    ]
    made = plan_for(pool, *jobs)
    codes = {name: made.code(name) for name in ("pair", "two", "cores")}
    assert codes == {"pair": "gang_partly_fits", "two": "busy", "cores": "host_cores"}
    assert codes == {name: made.explain(name).code for name in codes}


def test_an_empty_snapshot_makes_an_empty_plan() -> None:
    made = plan_for(a_pool())
    assert (made.plan.placements, made.plan.deferrals) == ((), {})
    assert plan_for(a_pool(), a_job()).code("job-1") == "no_nodes"
