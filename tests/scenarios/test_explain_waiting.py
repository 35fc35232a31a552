"""What is said of jobs that wait for what others hold. Golden texts."""

from __future__ import annotations

from tests.builders import a_job, a_pool, plan_for


def test_behind_a_higher_priority_that_waited_too() -> None:
    big = a_job("big").training(2, chip="emulated-a100").priority(80)
    small = a_job("small").asking(1, "emulated-a100")
    found = plan_for(a_pool().laptop(), small, big).explain("small")
    assert found.code == "behind_higher_priority"
    assert found.sentence == (
        "waits behind jobs of higher priority: big (priority 80) holds 2 emulated-a100; "
        "in use of those that fit: 2 emulated-a100"
    )
    assert found.unblock == (
        "free 1 more emulated-a100 chip",
        "submit it again with a priority above 80",
    )
    assert (found.queue_position, found.ahead) == (2, ("big",))
    assert [removal.message for removal in found.removals] == [
        "1 cpu-x86, 2 emulated-910b: of another type",
        "2 emulated-a100: in use",
    ]


def test_behind_a_running_job_of_higher_priority() -> None:
    pool = a_pool().node("a", "nvidia-h200", 2).running("big", 2, "nvidia-h200", priority=80)
    assert plan_for(pool, a_job().training(2)).why("job-1") == (
        "waits behind jobs of higher priority: big (priority 80) holds 2 nvidia-h200; "
        "in use of those that fit: 2 nvidia-h200"
    )


def test_chips_in_use_by_equals() -> None:
    pool = a_pool().node("a", "nvidia-h200", 3)
    for name in ("one", "two", "three"):
        pool = pool.running(name, 1, "nvidia-h200")
    found = plan_for(pool, a_job().training(2)).explain("job-1")
    assert found.code == "busy"
    assert found.sentence == (
        "asks for 2 chips of type any; in use: 3 nvidia-h200, by one, three and two"
    )
    assert found.unblock == ("free 2 more nvidia-h200 chips",)


def test_a_gang_of_which_a_part_fits_now() -> None:
    pool = a_pool().node("a", "nvidia-h200", 4).running("other", 1, "nvidia-h200")
    found = plan_for(pool, a_job().gang_of(4)).explain("job-1")
    assert found.code == "gang_partly_fits"
    assert found.sentence == "gang needs 4 members, 3 fit; in use: 1 nvidia-h200, by other"
    assert found.unblock == ("free 1 more nvidia-h200 chip",)


def test_enough_free_chips_but_too_few_on_one_node() -> None:
    pool = a_pool().node("a", "nvidia-h200", 2).node("b", "nvidia-h200", 2)
    pool = pool.running("one", 1, "nvidia-h200", node="a").running(
        "two", 1, "nvidia-h200", node="b"
    )
    found = plan_for(pool, a_job().asking(2)).explain("job-1")
    assert found.sentence == (
        "asks for 2 chips of type any; in use: 2 nvidia-h200, by one and two; "
        "free, but too few on one node: 2 nvidia-h200"
    )
    assert found.unblock == ("free 1 more nvidia-h200 chip on one node",)


def test_a_share_larger_than_what_is_left_of_any_chip() -> None:
    pool = a_pool().node("a", "nvidia-h200", 1).running("other", 1, "nvidia-h200", milli=800)
    found = plan_for(pool, a_job().asking(1, milli=500)).explain("job-1")
    assert found.code == "share"
    assert found.sentence == (
        "asks for 0.5 of a chip of type any; too little is left on: 1 nvidia-h200, by other"
    )
    assert found.unblock == ("free 0.3 more of one nvidia-h200 chip",)


def test_the_limit_of_the_queue() -> None:
    pool = a_pool().node("a", "nvidia-h200", 8).queue("research", nvidia_h200=4)
    pool = pool.running("mine", 3, "nvidia-h200", queue="research")
    found = plan_for(pool, a_job().training(3).in_queue("research")).explain("job-1")
    assert found.code == "queue_limit"
    assert found.sentence == (
        "queue research may hold 4 chips of type nvidia-h200 at once; "
        "its jobs hold 3 and this one asks for 3"
    )
    assert found.unblock == (
        "raise the limit of queue research for nvidia-h200 from 4 to 6",
        "end jobs of queue research that hold 2 of nvidia-h200",
    )


def test_host_cores_in_use() -> None:
    pool = a_pool().node("a", "nvidia-h200", 1, cores=2)
    jobs = [a_job(name).age(age) for name, age in (("first", 3), ("second", 2), ("third", 1))]
    found = plan_for(pool, *jobs).explain("third")
    assert found.code == "host_cores"
    assert found.sentence == (
        "asks for 1 host core and 1 GiB of memory; 1 more host core would have to be free; "
        "in use by first and second"
    )
    assert found.unblock == ("free 1 more host core",)


def test_seats_that_are_kept_until_a_release() -> None:
    pool = a_pool().node("a", "nvidia-h200", 2).running("old", 2, "nvidia-h200", releasing=True)
    found = plan_for(pool, a_job().training(2)).explain("job-1")
    assert found.code == "waiting_for_release"
    assert found.sentence == (
        "waits for what is being released by old: 2 nvidia-h200; seats are kept for it"
    )
    assert found.unblock == ()


def test_lower_priority_that_makes_room() -> None:
    pool = a_pool().node("a", "nvidia-h200", 2)
    pool = pool.running("x", 1, "nvidia-h200", priority=10)
    pool = pool.running("y", 1, "nvidia-h200", priority=20)
    made = plan_for(pool, a_job("high").training(2).priority(90))
    assert made.why("high") == (
        "takes the place of lower priority: y (priority 20) holds 1 nvidia-h200 and "
        "x (priority 10) holds 1 nvidia-h200 and are stopped for it"
    )
    told = [it.reason for it in made.plan.preemptions]
    assert [(it.by_job, it.priority, it.victim_priority) for it in told] == [
        ("high", 90, 10),
        ("high", 90, 20),
    ]


def test_a_back_off() -> None:
    found = plan_for(a_pool().laptop(), a_job().not_before(30)).explain("job-1")
    assert found.code == "backing_off"
    assert found.sentence == (
        "its last attempt failed: it waits until 2026-03-01 12:00:30 UTC before the next"
    )


def test_many_holders_are_counted() -> None:
    pool = a_pool().node("a", "nvidia-h200", 8)
    for number in range(8):
        pool = pool.running(f"job-{number}", 1, "nvidia-h200")
    assert plan_for(pool, a_job("late").asking()).why("late") == (
        "asks for 1 chip of type any; in use: 8 nvidia-h200, by job-0, job-1, job-2 and 5 more"
    )


def test_the_place_in_the_queue_counts_jobs() -> None:
    pool = a_pool().node("a", "nvidia-h200", 1).running("other", 1, "nvidia-h200")
    replicas = [a_job("chat").serving().replica(number).age(9) for number in range(3)]
    found = plan_for(pool, *replicas, a_job("late").asking()).explain("late")
    assert (found.queue_position, found.ahead) == (2, ("chat",))
