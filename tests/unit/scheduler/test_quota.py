"""Queue limits: what is left, what a charge would break, and what is being released."""

from __future__ import annotations

from scheduler.model import LimitHit, Queue, Snapshot
from scheduler.quota import unused, used_later, used_now
from tests.builders import a_job, a_pool, plan_for

QUEUE = Queue("research", {"any": 4, "fast": 2}, {"fast": 1500, "slow": 500}, {"fast": 1000})
SNAPSHOT = Snapshot(queues=(QUEUE, Queue("default")))


def test_the_tighter_of_two_limits_counts() -> None:
    usage = used_now(SNAPSHOT)
    assert usage.left("research", "fast") == 500
    assert usage.left("research", "slow") == 2000


def test_a_queue_without_limits_may_take_all() -> None:
    usage = used_now(SNAPSHOT)
    assert usage.left("default", "fast") is None
    assert usage.left("nobody listed it", "fast") is None
    assert usage.add("default", {"fast": 1000}) is usage


def test_what_is_released_counts_until_it_is_back() -> None:
    assert used_later(SNAPSHOT).left("research", "fast") == 1500


def test_a_charge_counts_for_its_type_and_for_all() -> None:
    usage = used_now(SNAPSHOT).add("research", {"slow": 1500})
    assert usage.left("research", "slow") == 500
    assert usage.left("research", "fast") == 500
    assert usage.add("research", {"slow": 1500}, -1) == used_now(SNAPSHOT)


def test_a_charge_to_a_queue_that_holds_nothing_is_all_it_holds() -> None:
    usage = unused(used_now(SNAPSHOT)).add("research", {"fast": 300, "slow": 700})
    assert usage.used["research"] == {"fast": 300, "slow": 700, "any": 1000}


def test_of_two_counts_the_higher_of_each_type_counts() -> None:
    nothing = unused(used_now(SNAPSHOT))
    mine, theirs = (nothing.add("research", it) for it in ({"fast": 0}, {"slow": 500}))
    expected = {"fast": 0, "slow": 500, "any": 500}
    assert mine.at_least(theirs, "research").used["research"] == expected
    assert theirs.at_least(mine, "research").used["research"] == expected
    assert mine.at_least(theirs, "default") is mine


def test_the_limit_that_is_missed_by_most_is_named() -> None:
    usage = used_now(SNAPSHOT)
    assert usage.hit("research", {"fast": 500}) is None
    assert usage.hit("research", {"fast": 3000}) == LimitHit("research", "fast", 2000, 1500, 3000)
    assert usage.hit("research", {"slow": 3000}) == LimitHit("research", "any", 4000, 2000, 3000)
    assert unused(usage).hit("research", {"fast": 2000}) is None


def test_one_type_may_be_at_its_limit_while_another_is_not() -> None:
    pool = a_pool().node("a", "fast", 4).node("b", "slow", 4).speeds("x", fast=2.0, slow=1.0)
    pool = pool.queue("research", fast=1).running("mine", 1, "fast", queue="research")
    made = plan_for(pool, a_job("next").training(2).work("x").in_queue("research"))
    assert made.types("next") == {"slow": 2}


def test_a_mixed_gang_stays_within_the_limit_of_each_type() -> None:
    pool = a_pool().node("a", "fast", 4).node("b", "slow", 4).speeds("x", fast=2.0, slow=1.0)
    pool = pool.queue("research", fast=1, slow=3)
    made = plan_for(pool, a_job("next").training(4).mixed().work("x").in_queue("research"))
    assert made.types("next") == {"fast": 1, "slow": 3}


def test_an_elastic_gang_shrinks_to_what_its_queue_has_left() -> None:
    pool = a_pool().node("a", "fast", 8).queue("research", any=3)
    made = plan_for(pool, a_job("next").training(2, 8).in_queue("research"))
    assert made.types("next") == {"fast": 3}


def test_jobs_of_one_plan_share_the_limit() -> None:
    pool = a_pool().node("a", "fast", 8).queue("research", any=3)
    jobs = [a_job(f"job-{n}").training(2).age(9 - n).in_queue("research") for n in range(3)]
    assert plan_for(pool, *jobs).placed() == ["job-0"]


def test_a_limit_does_not_hold_up_other_queues() -> None:
    pool = a_pool().node("a", "fast", 1).queue("research", any=0)
    first = a_job("limited").asking().in_queue("research").priority(90)
    assert plan_for(pool, first, a_job("free").asking()).placed() == ["free"]
