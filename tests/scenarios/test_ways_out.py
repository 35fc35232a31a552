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
    assert _ways(pool, job)[0] == "ask for at most 2 GiB per chip (emulated-910b or emulated-a100)"
    assert _starts(pool, a_job().training(2, memory_bytes=2 * GIB))


def test_asking_for_another_type() -> None:
    pool = a_pool().laptop()
    assert _ways(pool, a_job().asking(1, "ascend-910b"))[0] == (
        "ask for emulated-910b (emulated, stands for ascend-910b)"
    )
    assert _starts(pool, a_job().asking(1, "emulated-910b"))


def test_adding_chips() -> None:
    pool = a_pool().node("a", "nvidia-h200", 3)
    assert "add 2 chips of type nvidia-h200" in _ways(pool, a_job().training(5))
    assert not _starts(pool.node("b", "nvidia-a100", 2), a_job().training(5))
    assert not _starts(pool.node("b", "nvidia-h200", 1), a_job().training(5))
    assert _starts(pool.node("b", "nvidia-h200", 2), a_job().training(5))


def test_adding_a_chip_with_the_memory_that_is_asked_for() -> None:
    pool, job = a_pool().node("a", "emulated-a100", 2, memory_bytes=2 * GIB), a_job()
    job = job.asking(1, "emulated-a100", memory_bytes=80 * GIB)
    assert _ways(pool, job) == (
        "ask for at most 2 GiB per chip (emulated-a100)",
        "add 1 chip of type emulated-a100 with at least 80 GiB",
    )
    assert _starts(pool, job.asking(1, "emulated-a100", memory_bytes=2 * GIB))
    assert not _starts(pool.node("b", "emulated-a100", 1, memory_bytes=2 * GIB), job)
    assert _starts(pool.node("b", "emulated-a100", 1, memory_bytes=80 * GIB), job)


def test_adding_a_chip_for_a_part_of_which_memory_is_asked() -> None:
    pool = a_pool().node("a", "nvidia-h200", 1, memory_bytes=40 * GIB)
    job = a_job().asking(1, milli=500, memory_bytes=40 * GIB)
    assert _ways(pool, job)[-1] == "add 1 chip with at least 80 GiB"
    assert not _starts(pool.node("b", "nvidia-h200", 1, memory_bytes=79 * GIB), job)
    assert _starts(pool.node("b", "nvidia-h200", 1, memory_bytes=80 * GIB), job)


def test_adding_a_chip_that_computes_in_the_number_format() -> None:
    pool, job = a_pool().node("a", "nvidia-a100", 1), a_job().asking(1, dtype="fp8")
    assert _ways(pool, job) == (
        "ask for bf16 or fp32 instead of fp8",
        "add 1 chip that computes in fp8",
    )
    assert all(_starts(pool, a_job().asking(1, dtype=name)) for name in ("bf16", "fp32"))
    assert not _starts(pool.node("b", "nvidia-a100", 1), job)
    assert _starts(pool.node("b", "nvidia-h200", 1, dtypes=frozenset({"fp8"})), job)


def test_adding_what_a_node_lacks_for_a_member() -> None:
    pool = a_pool().node("b", "nvidia-h200", 1).node("a", "nvidia-h200", 2)
    job = a_job().asking(3, "nvidia-h200")
    assert _ways(pool, job) == (
        "ask for at most 2 chips (nvidia-h200)",
        "add 1 more nvidia-h200 chip to node a",
    )
    assert _starts(pool, a_job().asking(2, "nvidia-h200"))
    assert _starts(pool.chips("nvidia-h200", 1), job), "a was named last"


def test_adding_what_two_nodes_lack_for_two_members() -> None:
    pool = a_pool().node("a", "nvidia-h200", 3).node("b", "nvidia-h200", 2)
    job = a_job().gang_of(2, chips=4)
    assert _ways(pool, job)[-1] == (
        "add 1 more nvidia-h200 chip to node a and 2 more nvidia-h200 chips to node b"
    )
    grown = a_pool().node("a", "nvidia-h200", 4)
    assert not _starts(grown.node("b", "nvidia-h200", 3), job)
    assert _starts(grown.node("b", "nvidia-h200", 4), job)


def test_asking_for_as_many_chips_as_one_node_has() -> None:
    pool = a_pool().laptop()
    assert _ways(pool, a_job().asking(64))[0] == (
        "ask for at most 2 chips (emulated-910b or emulated-a100)"
    )
    assert _starts(pool, a_job().asking(2, "emulated-910b"))
    assert _starts(pool, a_job().asking(2, "emulated-a100"))
    assert not _starts(pool, a_job().asking(3))


def test_adding_chips_on_a_node_of_their_own() -> None:
    pool, job = a_pool().laptop(), a_job().asking(8, "emulated-a100")
    assert _ways(pool, job)[-1] == "add 8 chips of type emulated-a100 on one node"
    assert not _starts(pool.node("b", "emulated-a100", 4).node("c", "emulated-a100", 4), job)
    assert _starts(pool.node("b", "emulated-a100", 8), job)


def test_uncordoning_a_node_for_its_host_cores() -> None:
    pool = a_pool().node("vm", "emulated-a100", 4, cores=8, closed=Closed.CORDONED)
    assert _ways(pool, a_job()) == ("uncordon node vm (8 host cores)",)
    assert _starts(_opened(pool, "vm"), a_job())


def test_uncordoning_as_many_nodes_as_are_named() -> None:
    pool, job = a_pool(), a_job().training(5)
    for name, chips in (("a", 2), ("b", 4), ("c", 2)):
        pool = pool.node(name, "nvidia-h200", chips, closed=Closed.CORDONED)
    assert _ways(pool, job) == ("uncordon nodes b (4 chips) and a (2 chips)",)
    assert not _starts(_opened(pool, "b"), job)
    assert _starts(_opened(pool, "a", "b"), job)


def test_reopening_nodes_that_are_closed_for_different_reasons() -> None:
    pool, job = a_pool().node("c", "nvidia-h200", 1), a_job().training(5)
    pool = pool.node("a", "nvidia-h200", 2, closed=Closed.LOST)
    pool = pool.node("b", "nvidia-h200", 2, closed=Closed.CORDONED)
    assert _ways(pool, job) == ("bring back node a (2 chips) and uncordon node b (2 chips)",)
    assert not _starts(_opened(pool, "a"), job)
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


def test_freeing_the_part_of_a_chip_that_is_named() -> None:
    pool, job = a_pool().node("a", "nvidia-h200", 1), a_job().asking(1, milli=500)

    def busy(milli: int) -> PoolBuilder:
        return pool.running("one", 1, "nvidia-h200", milli=milli)

    assert _ways(busy(1000), job) == ("free 0.5 more of one nvidia-h200 chip",)
    assert _ways(busy(800), job) == ("free 0.3 more of one nvidia-h200 chip",)
    assert not _starts(busy(501), job)
    assert _starts(busy(500), job)


def test_freeing_parts_of_chips_for_several_members() -> None:
    pool, job = a_pool().node("a", "nvidia-h200", 2), a_job().gang_of(2, milli=500)
    full = pool.running("one", 1, "nvidia-h200").running("two", 1, "nvidia-h200", milli=800)
    assert _ways(full, job) == (
        "free 0.8 more of nvidia-h200 chips, for members that take 0.5 each",
    )
    less = pool.running("one", 1, "nvidia-h200", milli=500)
    assert _starts(less.running("two", 1, "nvidia-h200", milli=500), job)


def test_freeing_as_many_host_cores_as_are_named() -> None:
    pool, job = a_pool().node("a", "nvidia-h200", 1, cores=4), a_job()

    def busy(cores_milli: int) -> PoolBuilder:
        return pool.running("one", 1, "nvidia-h200", cores_milli=cores_milli)

    assert _ways(busy(3400), job) == ("free 0.4 more host cores",)
    assert _starts(busy(3000), job)


def test_raising_the_priority() -> None:
    pool = a_pool().node("a", "nvidia-h200", 1).running("big", 1, "nvidia-h200", priority=80)
    assert "submit it again with a priority above 80" in _ways(pool, a_job().asking())
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
