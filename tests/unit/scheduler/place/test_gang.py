"""Seats for gangs: one type or several, how many members, on which nodes."""

from __future__ import annotations

from dataclasses import replace

import pytest

from scheduler.model import ChipId, Closed, HostShare, NodeId, Seat
from scheduler.place.gang import Supply, as_running, seat_gang
from scheduler.quota import used_now
from scheduler.snapshot.columns import columns_of
from tests.builders import GIB, JobBuilder, PoolBuilder, a_job, a_pool, plan_for


def test_a_gang_is_placed_whole_or_not_at_all() -> None:
    pool = a_pool().node("a", "nvidia-h200", chips=4).node("b", "nvidia-h200", chips=2)
    plan = plan_for(pool, a_job().gang_of(4, chips=2))
    assert plan.plan.placements == ()
    assert plan.why("job-1").startswith("gang needs 4 members, 3 fit")


def test_a_gang_stays_on_one_type_unless_it_may_mix() -> None:
    pool = a_pool().node("a", "nvidia-h200", 2).node("b", "ascend-910b", 2)
    assert plan_for(pool, a_job("rigid").training(4)).placed() == []
    mixed = plan_for(pool, a_job("mixed").training(4).mixed())
    assert mixed.types("mixed") == {"nvidia-h200": 2, "ascend-910b": 2}


def test_a_gang_that_may_mix_uses_one_type_where_that_holds_all_of_it() -> None:
    pool = a_pool().node("a", "nvidia-h200", 2).node("b", "ascend-910b", 4)
    pool = pool.speeds("train/x", nvidia_h200=200.0, ascend_910b=50.0)
    plan = plan_for(pool, a_job("mixed").training(4).mixed().work("train/x"))
    assert plan.types("mixed") == {"ascend-910b": 4}


def test_a_mixed_gang_takes_the_fastest_types_first() -> None:
    pool = a_pool().node("a", "slow-1", 3).node("b", "fast-1", 3).node("c", "middle-1", 3)
    pool = pool.speeds("train/x", slow_1=1.0, fast_1=9.0, middle_1=4.0)
    plan = plan_for(pool, a_job("mixed").training(4).mixed().work("train/x"))
    assert plan.types("mixed") == {"fast-1": 3, "middle-1": 1}
    assert [seat.rank for seat in plan.seats("mixed")] == [0, 1, 2, 3]


def test_a_mixed_gang_leaves_out_a_type_that_eats_the_host_of_the_others() -> None:
    plan = plan_for(a_pool().laptop(), a_job("mixed").training(4).mixed())
    assert plan.types("mixed") == {"emulated-a100": 2, "emulated-910b": 2}


def test_a_measured_speed_decides_between_types() -> None:
    pool = a_pool().node("a", "nvidia-h200", 1).node("b", "ascend-910b", 1)
    pool = pool.speeds("train/x", nvidia_h200=10.0, ascend_910b=30.0)
    plan = plan_for(pool, a_job("one").training(1).work("train/x"))
    assert plan.types("one") == {"ascend-910b": 1}


def test_the_order_of_the_wish_goes_before_speed() -> None:
    pool = a_pool().node("a", "nvidia-h200", 1).node("b", "ascend-910b", 1)
    pool = pool.speeds("train/x", nvidia_h200=10.0, ascend_910b=30.0)
    wish = ("nvidia", "any")
    first = a_job("first").training(1, chip=wish).work("train/x").age(2)
    second = a_job("second").training(1, chip=wish).work("train/x").age(1)
    plan = plan_for(pool, first, second)
    assert plan.types("first") == {"nvidia-h200": 1}
    assert plan.types("second") == {"ascend-910b": 1}


def test_real_chips_go_before_emulated_ones() -> None:
    pool = a_pool().laptop().node("b", "nvidia-h200", 1)
    jobs = [a_job(name).asking(1, milli=500).age(age) for age, name in ((3, "a"), (2, "b"))]
    plan = plan_for(pool, *jobs)
    assert plan.types("a") == plan.types("b") == {"nvidia-h200": 1}


def test_any_waits_for_an_accelerator_rather_than_take_a_host_processor() -> None:
    jobs = [a_job(name).asking(1).age(age) for age, name in enumerate("edcba")]
    plan = plan_for(a_pool().laptop(), *jobs)
    assert plan.placed() == ["a", "b", "c", "d"]
    assert "cpu-x86" not in {kind for job in "abcd" for kind in plan.types(job)}
    assert plan.code("e") == "busy"
    assert plan.explain("e").unblock[0] == "ask for cpu-x86, which `any` leaves out"
    named = plan_for(a_pool().laptop(), a_job("named").asking(1, ("cpu", "any")))
    assert named.types("named") == {"cpu-x86": 1}


@pytest.mark.parametrize(
    "job,pool",
    [
        (a_job().asking(1), a_pool().node("a", "cpu-x86", 1, cores_milli=8000)),
        (a_job().asking(1, memory_bytes=9 * GIB), a_pool().laptop()),
        (a_job().training(1), a_pool().laptop().node("b", "nvidia-h200", 1, trainable=False)),
        (a_job().asking(1), a_pool().laptop().node("b", "nvidia-h200", 1, closed=Closed.RETIRED)),
    ],
    ids=["no accelerator", "too little memory", "not for the trainer", "retired"],
)
def test_any_takes_a_host_processor_where_no_accelerator_would_do(
    job: JobBuilder, pool: PoolBuilder
) -> None:
    only_processors = [it for it in pool.snapshot.nodes[0].chips if not it.emulated]
    first = replace(pool.snapshot.nodes[0], chips=tuple(only_processors))
    few = PoolBuilder(replace(pool.snapshot, nodes=(first, *pool.snapshot.nodes[1:])))
    whole = pool if job.gang.request.memory_bytes else few
    assert "cpu-x86" in plan_for(whole, job).types("job-1")


def test_any_waits_for_an_accelerator_on_a_node_that_is_away() -> None:
    pool = a_pool().node("a", "cpu-x86", 1, cores_milli=8000)
    pool = pool.node("b", "nvidia-h200", 1, closed=Closed.LOST)
    assert plan_for(pool, a_job().asking()).code("job-1") == "lost"


def test_an_emulated_chip_is_never_given_for_the_vendor_it_stands_for() -> None:
    plan = plan_for(a_pool().laptop(), a_job().asking(1, "nvidia"))
    assert plan.placed() == []


def test_an_elastic_gang_takes_as_many_members_as_fit() -> None:
    pool = a_pool().node("a", "nvidia-h200", 5)
    assert len(plan_for(pool, a_job("grows").training(2, 8)).seats("grows")) == 5
    assert plan_for(pool, a_job("grows").training(6, 8)).placed() == []


def test_an_elastic_gang_goes_where_it_does_most() -> None:
    pool = a_pool().node("a", "fast-1", 2).node("b", "slow-1", 8)
    pool = pool.speeds("train/x", fast_1=10.0, slow_1=4.0)
    plan = plan_for(pool, a_job("grows").training(2, 8).work("train/x"))
    assert plan.types("grows") == {"slow-1": 8}


def test_serving_replicas_spread_over_chip_types_evenly() -> None:
    pool = a_pool().node("a", "nvidia-h200", 4).node("b", "ascend-910b", 4)
    replicas = [a_job("chat").serving().mixed().replica(number) for number in range(4)]
    plan = plan_for(pool, *replicas)
    assert plan.types("chat") == {"nvidia-h200": 2, "ascend-910b": 2}


def test_a_replaced_replica_goes_to_the_type_its_siblings_lack() -> None:
    pool = a_pool().node("a", "nvidia-h200", 4).node("b", "ascend-910b", 4)
    replica = a_job("chat").serving().mixed().siblings(ascend_910b=1)
    assert plan_for(pool, replica).types("chat") == {"nvidia-h200": 1}


def test_the_tightest_node_that_holds_a_gang_is_taken() -> None:
    pool = a_pool().node("a", "nvidia-h200", 8).node("b", "nvidia-h200", 4)
    plan = plan_for(pool, a_job("four").training(4))
    assert {seat.node_id for seat in plan.seats("four")} == {"node-b"}


def test_a_gang_too_large_for_one_node_uses_few_nodes() -> None:
    pool = a_pool()
    for name, chips in (("a", 2), ("b", 8), ("c", 2), ("d", 4)):
        pool = pool.node(name, "nvidia-h200", chips)
    plan = plan_for(pool, a_job("ten").training(10))
    nodes = [seat.node_id for seat in plan.seats("ten")]
    assert nodes == ["node-b"] * 8 + ["node-a"] * 2


def test_a_share_goes_to_the_chip_with_least_left() -> None:
    pool = a_pool().node("a", "nvidia-h200", 1).node("b", "nvidia-h200", 1)
    pool = pool.running("other", 1, "nvidia-h200", milli=400, node="b")
    plan = plan_for(pool, a_job("part").asking(1, milli=500))
    (seat,) = plan.seats("part")
    assert dict(seat.chips) == {"node-b-nvidia-h200-0": 500}


def test_a_share_goes_to_the_chip_that_it_fills_though_its_node_has_more_left() -> None:
    pool = a_pool().node("a", "nvidia-h200", 1).node("b", "nvidia-h200", 2)
    pool = pool.running("other", 1, "nvidia-h200", milli=500, node="b")
    pool = pool.node("c", "nvidia-h200", 1).running("more", 1, "nvidia-h200", milli=400, node="c")
    (seat,) = plan_for(pool, a_job("part").asking(1, milli=500)).seats("part")
    assert dict(seat.chips) == {"node-b-nvidia-h200-0": 500}


def test_members_with_shares_may_sit_on_one_chip() -> None:
    pool = a_pool().node("a", "nvidia-h200", 1)
    plan = plan_for(pool, a_job("parts").gang_of(3, milli=333))
    assert len(plan.seats("parts")) == 3


def test_a_share_of_an_emulated_chip_takes_the_same_share_of_the_host() -> None:
    plan = plan_for(a_pool().laptop(), a_job("half").asking(1, "emulated-a100", milli=500))
    (seat,) = plan.seats("half")
    assert (seat.cores_milli, seat.memory_bytes) == (250, GIB)


def test_tasks_without_chips_leave_nodes_with_chips_alone() -> None:
    pool = a_pool().node("a", "nvidia-h200", 8, cores=4).node("b", cores=64)
    plan = plan_for(pool, a_job("task"))
    (seat,) = plan.seats("task")
    assert (seat.node_id, seat.cores_milli, seat.memory_bytes) == ("node-b", 1000, GIB)


def test_host_cores_that_are_asked_for_are_given() -> None:
    pool = a_pool().node("a", "nvidia-h200", 2, cores=8)
    first = a_job("first").asking(1, cores_milli=6000).age(1)
    plan = plan_for(pool, first, a_job("second").asking(1, cores_milli=6000))
    assert plan.placed() == ["first"]
    assert plan.code("second") == "host_cores"


def test_a_gang_holds_of_a_host_what_its_members_take_together() -> None:
    seats = (
        Seat(0, NodeId("node-a"), {ChipId("one"): 500}, 1000, GIB),
        Seat(1, NodeId("node-a"), {ChipId("one"): 500}, 2000, 3 * GIB),
        Seat(2, NodeId("node-b"), {ChipId("two"): 500}, 500, GIB),
    )
    held = as_running(a_job().gang, seats)
    assert held.chips == {"one": 1000, "two": 500}
    assert held.hosts == {"node-a": HostShare(3000, 4 * GIB), "node-b": HostShare(500, GIB)}


def test_what_a_gang_took_is_there_again_once_it_has_ended() -> None:
    pool = a_pool().node("a", "nvidia-h200", 4).queue("research", any=3)
    columns = columns_of(pool.snapshot)
    before = Supply(columns.now, used_now(pool.snapshot), pool.snapshot.speeds)
    gang = a_job().training(2).in_queue("research").gang
    seats = seat_gang(gang, before)
    assert seats is not None
    taken = before.take("research", seats)
    assert taken.usage.left("research", "nvidia-h200") == 1000
    after = taken.give([as_running(gang, seats)])
    assert after.usage.left("research", "nvidia-h200") == 3000
