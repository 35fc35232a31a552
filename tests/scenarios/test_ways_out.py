"""A way out that is named does let the job start: each is taken, and the plan made again."""

from __future__ import annotations

from dataclasses import replace

from scheduler.model import Closed, JobType
from tests.builders import GIB, JobBuilder, PoolBuilder, a_job, a_pool, plan_for


def _ways(pool: PoolBuilder, job: JobBuilder) -> tuple[str, ...]:
    return plan_for(pool, job).explain(job.gang.job_name).unblock


def _starts(pool: PoolBuilder, job: JobBuilder) -> bool:
    return plan_for(pool, job).placed() == [job.gang.job_name]


def test_allowing_a_mix() -> None:
    job = a_job().training(4)
    assert "allow `mix`, so that the gang may span chip types" in _ways(a_pool().laptop(), job)
    assert _starts(a_pool().laptop(), job.mixed())


def test_asking_for_fewer_chips_and_not_for_one_more() -> None:
    pool = a_pool().laptop()
    assert "ask for at most 4 chips" in _ways(pool, a_job().training(64).mixed())
    assert _starts(pool, a_job().training(4).mixed())
    assert not _starts(pool, a_job().training(5).mixed())


def test_asking_for_less_memory() -> None:
    pool = a_pool().laptop()
    job = a_job().training(2, memory_bytes=80 * GIB)
    assert "ask for at most 2 GiB per chip" in _ways(pool, job)
    assert _starts(pool, a_job().training(2, memory_bytes=2 * GIB))


def test_asking_for_another_type() -> None:
    pool = a_pool().laptop()
    assert _ways(pool, a_job().asking(1, "ascend-910b"))[0] == (
        "ask for emulated-910b (emulated, stands for ascend-910b)"
    )
    assert _starts(pool, a_job().asking(1, "emulated-910b"))


def test_adding_chips() -> None:
    pool = a_pool().node("a", "nvidia-h200", 3)
    assert "add 2 chips of one type" in _ways(pool, a_job().training(5))
    assert not _starts(pool.node("b", "nvidia-h200", 1), a_job().training(5))
    assert _starts(pool.node("b", "nvidia-h200", 2), a_job().training(5))


def test_uncordoning_as_many_nodes_as_are_named() -> None:
    pool, job = a_pool(), a_job().training(5)
    for name, chips in (("a", 2), ("b", 4), ("c", 2)):
        pool = pool.node(name, "nvidia-h200", chips, closed=Closed.CORDONED)
    assert _ways(pool, job) == ("uncordon nodes b (4 chips) and a (2 chips)",)
    assert not _starts(_opened(pool, "b"), job)
    assert _starts(_opened(pool, "a", "b"), job)


def test_raising_the_limit_of_the_queue_to_what_is_named() -> None:
    job = a_job().training(3).in_queue("research")

    def limited(limit: int) -> PoolBuilder:
        pool = a_pool().node("a", "nvidia-h200", 8).queue("research", any=limit)
        return pool.running("mine", 2, "nvidia-h200", queue="research")

    assert _ways(limited(4), job)[0] == "raise the limit of queue research for any from 4 to 5"
    assert _starts(limited(5), job)


def test_freeing_as_many_chips_as_are_named() -> None:
    job = a_job().gang_of(2, chips=2)
    pool = a_pool().node("a", "nvidia-h200", 4).node("b", "nvidia-h200", 1)
    busy = pool.running("one", 1, "nvidia-h200", node="a")
    assert _ways(busy, job) == ("free 1 more nvidia-h200 chip on one node",)
    assert _starts(pool, job)


def test_freeing_as_many_host_cores_as_are_named() -> None:
    pool, job = a_pool().node("a", "nvidia-h200", 1, cores=4), a_job()

    def busy(cores_milli: int) -> PoolBuilder:
        return pool.running("one", 1, "nvidia-h200", cores_milli=cores_milli)

    assert _ways(busy(3400), job) == ("free 0.4 more host cores",)
    assert _starts(busy(3000), job)


def test_raising_the_priority() -> None:
    pool = a_pool().node("a", "nvidia-h200", 1).running("big", 1, "nvidia-h200", priority=80)
    assert "raise its priority above 80" in _ways(pool, a_job().asking())
    assert plan_for(pool, a_job().asking().priority(81)).victims() == ["big"]


def test_a_training_job_counts_chips_and_a_task_members() -> None:
    pool = a_pool().node("a", "nvidia-h200", 2)
    assert a_job().training(3).gang.type is JobType.TRAIN
    assert "ask for at most 2 chips" in _ways(pool, a_job().training(3))
    assert "ask for at most 2 members" in _ways(pool, a_job().gang_of(3))


def _opened(pool: PoolBuilder, *names: str) -> PoolBuilder:
    nodes = tuple(
        replace(node, closed=None) if node.name in names else node for node in pool.snapshot.nodes
    )
    return PoolBuilder(replace(pool.snapshot, nodes=nodes))
