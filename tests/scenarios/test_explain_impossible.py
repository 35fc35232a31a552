"""What is said of jobs that could not start even if nothing ran. Golden texts."""

from __future__ import annotations

from scheduler.model import Closed
from tests.builders import GIB, a_job, a_pool, plan_for

LAPTOP = a_pool().laptop()
THREE_TYPES = "1 cpu-x86, 2 emulated-910b, 2 emulated-a100"


def test_too_many_chips() -> None:
    found = plan_for(LAPTOP, a_job().training(64)).explain("job-1")
    assert found.code == "too_many_chips"
    assert found.sentence == f"asks for 64 chips of type any; the pool has 5: {THREE_TYPES}"
    assert found.unblock == (
        "ask for at most 2 chips",
        "add 62 chips of type emulated-910b or emulated-a100, all of one type",
    )


def test_enough_chips_but_not_of_one_type() -> None:
    found = plan_for(LAPTOP, a_job().training(4)).explain("job-1")
    assert found.sentence == (
        "asks for 4 chips of type any, all of one type; the pool has 5, at most 2 of one type: "
        f"{THREE_TYPES}"
    )
    assert found.unblock[0] == "allow `mix`, so that the gang may span chip types"


def test_too_many_chips_for_one_node() -> None:
    pool = a_pool().node("a", "nvidia-h200", 4).node("b", "nvidia-h200", 2)
    found = plan_for(pool, a_job().asking(8)).explain("job-1")
    assert found.sentence == (
        "asks for 8 chips of one type on one node; the pool has 6, at most 4 on one node: "
        "6 nvidia-h200"
    )
    assert found.unblock == (
        "ask for at most 4 chips (nvidia-h200)",
        "add 4 more nvidia-h200 chips to node a",
    )


def test_too_many_chips_for_the_only_node_that_has_the_type() -> None:
    found = plan_for(LAPTOP, a_job().asking(64, "emulated-a100")).explain("job-1")
    assert found.sentence == (
        "asks for 64 chips of type emulated-a100 on one node; the pool has 2: 2 emulated-a100"
    )
    assert found.unblock == (
        "ask for at most 2 chips (emulated-a100)",
        "add 64 chips of type emulated-a100 on one node",
    ), "the laptop's two cores do not carry 64 of them"


def test_members_of_more_chips_than_any_node_has() -> None:
    found = plan_for(LAPTOP, a_job().gang_of(2, chips=8)).explain("job-1")
    assert found.sentence == (
        "asks for 2 × 8 chips of one type, each 8 on one node; the pool has 5, at most 2 on one "
        f"node: {THREE_TYPES}"
    )


def test_a_gang_of_which_only_a_part_fits_into_an_empty_pool() -> None:
    pool = a_pool().node("a", "nvidia-h200", 4).node("b", "nvidia-h200", 2)
    found = plan_for(pool, a_job().gang_of(4, chips=2)).explain("job-1")
    assert found.code == "gang_partly_fits"
    assert found.sentence == (
        "gang needs 4 members, 3 fit; it asks for 4 × 2 chips of type any and the pool has "
        "6 nvidia-h200"
    )
    assert found.unblock == (
        "ask for at most 3 members",
        "ask for at most 1 chip per member (nvidia-h200)",
        "add 2 chips of type nvidia-h200, 2 on a node",
    )


def test_wrong_vendor() -> None:
    found = plan_for(LAPTOP, a_job().asking(1, "nvidia")).explain("job-1")
    assert found.code == "vendor"
    assert found.sentence == f"asks for 1 chip of vendor nvidia; the pool has none: {THREE_TYPES}"
    assert [removal.message for removal in found.removals] == [f"{THREE_TYPES}: of another vendor"]


def test_wrong_type_names_the_emulated_type_that_stands_for_it() -> None:
    found = plan_for(LAPTOP, a_job().training(2, chip="nvidia-a100")).explain("job-1")
    assert found.code == "type"
    assert found.sentence == (
        f"asks for 2 chips of type nvidia-a100; the pool has none: {THREE_TYPES}"
    )
    assert found.unblock == (
        "ask for emulated-a100 (emulated, stands for nvidia-a100)",
        "add 2 chips of type nvidia-a100",
    )


def test_too_little_memory() -> None:
    job = a_job().training(2, chip="emulated-a100", memory_bytes=16 * GIB)
    found = plan_for(LAPTOP, job).explain("job-1")
    assert found.code == "memory"
    assert found.sentence == (
        "asks for 2 chips of type emulated-a100 with at least 16 GiB each; 2 chips have less: "
        "2 emulated-a100 (2 GiB); none is left"
    )
    assert found.unblock == (
        "ask for at most 2 GiB per chip (emulated-a100)",
        "add 2 chips of type emulated-a100 with at least 16 GiB each",
    )


def test_memory_that_nobody_could_read_is_not_taken_for_enough() -> None:
    pool = a_pool().node("a", "nvidia-h200", 1, memory_bytes=None)
    assert plan_for(pool, a_job().asking(1, memory_bytes=GIB)).why("job-1") == (
        "asks for 1 chip of type any with at least 1 GiB each; 1 chip has less: "
        "1 nvidia-h200 (unknown); none is left"
    )


def test_a_number_format_that_no_chip_has() -> None:
    found = plan_for(LAPTOP, a_job().asking(1, dtype="fp8")).explain("job-1")
    assert found.code == "dtype"
    assert found.sentence == (
        "asks for 1 chip of type any with fp8; 5 chips cannot compute in fp8: "
        f"{THREE_TYPES}; none is left"
    )
    assert found.unblock == (
        "ask for bf16 or fp32 instead of fp8",
        "add 1 chip that computes in fp8",
    )


def test_a_cordoned_node() -> None:
    pool = a_pool().node("a", "nvidia-h200", 4, closed=Closed.CORDONED).node("b", "nvidia-h200", 1)
    found = plan_for(pool, a_job().training(2, chip="nvidia-h200")).explain("job-1")
    assert found.code == "cordoned"
    assert found.sentence == (
        "asks for 2 chips of type nvidia-h200; node a is cordoned: 4 nvidia-h200; "
        "left: 1 nvidia-h200"
    )
    assert found.unblock == ("uncordon node a (4 chips)",)


def test_nodes_that_were_lost() -> None:
    pool = a_pool().node("a", "nvidia-h200", 2, closed=Closed.LOST)
    pool = pool.node("b", "nvidia-h200", 2, closed=Closed.LOST)
    found = plan_for(pool, a_job().training(3)).explain("job-1")
    assert found.code == "lost"
    assert found.sentence == (
        "asks for 3 chips of type any; nodes a and b are lost: 4 nvidia-h200; none is left"
    )
    assert found.unblock == ("bring back nodes a (2 chips) and b (2 chips)",)


def test_unhealthy_chips() -> None:
    pool = a_pool().node("a", "nvidia-h200", 1).chips("nvidia-h200", 1, healthy=False)
    found = plan_for(pool, a_job().training(2)).explain("job-1")
    assert found.code == "health"
    assert found.sentence == (
        "asks for 2 chips of type any; 1 chip is unhealthy on node a: 1 nvidia-h200; "
        "left: 1 nvidia-h200"
    )
    assert found.unblock == ("repair 1 nvidia-h200 chip",)


def test_more_host_cores_than_any_node_has() -> None:
    found = plan_for(LAPTOP, a_job().asking(0, cores_milli=64_000)).explain("job-1")
    assert found.code == "host_cores"
    assert found.sentence == (
        "asks for 64 host cores and 1 GiB of memory; the open nodes have 2 host cores, "
        "at most 2 on one"
    )
    assert found.unblock == ("ask for at most 2 host cores",)


def test_chips_whose_host_has_too_few_cores_for_all_of_them() -> None:
    found = plan_for(LAPTOP, a_job().training(5).mixed()).explain("job-1")
    assert found.code == "host_cores"
    assert found.sentence == (
        "asks for 5 chips of type any; each takes its chips' share of host cores; the open "
        "nodes have 2 host cores, at most 2 on one"
    )
    assert found.unblock == ("ask for at most 4 chips",)


def test_a_pool_without_a_node() -> None:
    found = plan_for(a_pool(), a_job().asking()).explain("job-1")
    assert found.sentence == "asks for 1 chip of type any; the pool has no node"
    assert found.unblock == ("add a node",)


def test_a_request_beyond_the_limit_of_the_queue() -> None:
    pool = a_pool().node("a", "nvidia-h200", 4).queue("research", any=1)
    found = plan_for(pool, a_job().training(2).in_queue("research")).explain("job-1")
    assert found.code == "queue_limit"
    assert found.sentence == (
        "queue research may hold 1 chip at once; its jobs hold 0 and this one asks for 2"
    )
    assert found.unblock == ("raise the limit of queue research for any from 1 to 2",)
