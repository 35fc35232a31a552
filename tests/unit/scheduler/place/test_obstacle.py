"""Which constraint is named where an empty pool or its hosts would not do."""

from __future__ import annotations

from typing import Any

from scheduler.model import Closed, Code
from scheduler.place.feasibility import Survey
from scheduler.place.gang import empty_supply
from scheduler.place.obstacle import fits_but_for_its_host, host_code, obstacle_when_empty
from scheduler.snapshot.columns import columns_of
from tests.builders import GIB, VENDORS, JobBuilder, PoolBuilder, a_job, a_pool


def _obstacle(pool: PoolBuilder, job: JobBuilder) -> Code:
    empty = empty_supply(columns_of(pool.snapshot).layout, pool.snapshot.speeds)
    return obstacle_when_empty(job.gang, empty, Survey(job.gang, empty.layout, VENDORS))


def _host_code(pool: PoolBuilder, job: JobBuilder) -> Code:
    empty = empty_supply(columns_of(pool.snapshot).layout, pool.snapshot.speeds)
    assert fits_but_for_its_host(job.gang, empty)
    return host_code(job.gang, empty)


def test_memory_is_named_where_it_alone_keeps_a_gang_off() -> None:
    pool = a_pool().node("a", "nvidia-h200", 1, cores=2, memory=GIB)
    memory: dict[str, Any] = {"host_memory_bytes": 2 * GIB}
    assert _host_code(pool, a_job().asking(1, **memory)) is Code.HOST_MEMORY
    assert _host_code(pool, a_job().asking(1, cores_milli=3000)) is Code.HOST_CORES
    assert _host_code(pool, a_job().asking(1, cores_milli=3000, **memory)) is Code.HOST_CORES


def test_memory_is_named_where_a_host_has_none() -> None:
    pool = a_pool().node("a", "nvidia-h200", 1, memory=0)
    assert _host_code(pool, a_job().asking(1, host_memory_bytes=1)) is Code.HOST_MEMORY


def test_the_first_state_whose_nodes_are_needed_is_named_to_members_without_chips() -> None:
    pool = a_pool().node("a", cores=1)
    pool = pool.node("b", cores=1, closed=Closed.LOST).node("c", cores=1, closed=Closed.CORDONED)
    found = [_obstacle(pool, a_job().gang_of(members, chips=0)) for members in (2, 3, 4)]
    assert found == [Code.CORDONED, Code.LOST, Code.HOST_CORES]


def test_parts_of_members_on_several_nodes_do_not_make_one() -> None:
    pool = a_pool()
    for name in "ab":
        pool = pool.node(name, cores=1.5, closed=Closed.CORDONED)
    found = [_obstacle(pool, a_job().gang_of(members, chips=0)) for members in (2, 3)]
    assert found == [Code.CORDONED, Code.HOST_CORES]


def test_the_least_that_can_be_asked_of_a_host_is_counted() -> None:
    pool = a_pool().node("a", cores=0.001, memory=1, closed=Closed.CORDONED)
    job = a_job().gang_of(1, 0, cores_milli=1, host_memory_bytes=1)
    assert _obstacle(pool, job) is Code.CORDONED
