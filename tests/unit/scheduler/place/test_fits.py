"""Members on a node whose chips take different parts of its host."""

from __future__ import annotations

from typing import Any

import pytest

from tests.builders import GIB, PoolBuilder, a_job, a_pool, plan_for


def _uneven(second: int = 1, **node: Any) -> PoolBuilder:
    """A node with a chip that takes one of its cores and others that take three each."""
    pool = a_pool().node("a", "nvidia-h200", 1, cores_milli=1000, **node)
    return pool.chips("nvidia-h200", second, cores_milli=3000)


@pytest.mark.parametrize(
    "cores,members", [(0.5, 0), (1, 1), (3, 1), (4, 2), (6, 2), (7, 3)]
)  # fmt: skip
def test_uneven_chips_fit_until_the_hosts_cores_are_gone(cores: float, members: int) -> None:
    pool = _uneven(second=2, cores=cores)
    plan = plan_for(pool, a_job("grows").training(1, 3, host_memory_bytes=0))
    assert [seat.cores_milli for seat in plan.seats("grows")] == [1000, 3000, 3000][:members]


@pytest.mark.parametrize("asked,members", [(3, 2), (4, 2), (5, 1), (8, 1), (9, 0)])
def test_uneven_chips_fit_until_the_hosts_memory_is_gone(asked: int, members: int) -> None:
    pool = _uneven(second=2, memory=8 * GIB)
    plan = plan_for(pool, a_job("grows").training(1, 3, host_memory_bytes=asked * GIB))
    assert len(plan.seats("grows")) == members


def test_a_gang_goes_on_to_the_next_node_where_an_uneven_one_is_full() -> None:
    pool = _uneven(cores=3).node("b", "nvidia-h200", 1)
    plan = plan_for(pool, a_job("two").training(2))
    assert {seat.node_id for seat in plan.seats("two")} == {"node-a", "node-b"}
