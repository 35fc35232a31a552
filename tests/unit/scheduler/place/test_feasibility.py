"""Hard checks on chips: what a wish means, and which constraint removes what."""

from __future__ import annotations

from typing import Any

import pytest

from scheduler.model import Closed, Code, Gang, MemberRequest, NodeId
from scheduler.place.feasibility import Survey, can_hold
from scheduler.snapshot.columns import columns_of
from tests.builders import GIB, VENDORS, PoolBuilder, a_chip, a_job, a_pool

CHIP = a_chip(NodeId("node-a"), "nvidia-h200", 0)


@pytest.mark.parametrize(
    "request_,fits",
    [
        (MemberRequest(1), True),
        (MemberRequest(1, wish=("nvidia",)), True),
        (MemberRequest(1, wish=("nvidia-h200",)), True),
        (MemberRequest(1, wish=("nvidia-h2",)), False),
        (MemberRequest(1, wish=("ascend", "nvidia")), True),
        (MemberRequest(1, wish=()), False),
        (MemberRequest(1, memory_bytes=80 * GIB), True),
        (MemberRequest(1, memory_bytes=80 * GIB + 1), False),
        (MemberRequest(1, milli=500, memory_bytes=40 * GIB), True),
        (MemberRequest(1, milli=500, memory_bytes=41 * GIB), False),
        (MemberRequest(1, dtype="bf16"), True),
        (MemberRequest(1, dtype="fp8"), False),
    ],
)
def test_what_a_chip_can_hold(request_: MemberRequest, fits: bool) -> None:
    assert can_hold(CHIP, request_) is fits


def test_the_first_constraint_of_the_pipeline_removes_a_chip() -> None:
    pool = a_pool().node("a", "nvidia-h200", 1, healthy=False, closed=Closed.CORDONED)
    wants: dict[str, Any] = {"memory_bytes": 900 * GIB, "dtype": "fp8"}
    assert _only(pool, a_job().asking(1, "ascend", **wants).gang) is Code.VENDOR
    assert _only(pool, a_job().asking(1, "x", **wants).gang) is Code.TYPE
    assert _only(pool, a_job().asking(1, **wants).gang) is Code.MEMORY
    assert _only(pool, a_job().asking(1, dtype="fp8").gang) is Code.DTYPE
    assert _only(pool, a_job().asking().gang) is Code.HEALTH
    closed = a_pool().node("a", "nvidia-h200", 1, closed=Closed.CORDONED)
    assert _only(closed, a_job().asking().gang) is Code.CORDONED
    assert _only(a_pool().node("a", "nvidia-h200", 1), a_job().asking().gang) is None


def test_every_chip_is_counted_once() -> None:
    pool = a_pool().node("a", "nvidia-h200", 2).chips("nvidia-h200", 1, healthy=False)
    pool = pool.node("b", "nvidia-h200", 3, closed=Closed.LOST).node("c", "ascend-910b", 4)
    found = _survey(pool, a_job().asking(1, "nvidia").gang)
    assert found.removed() == {
        Code.VENDOR: {"ascend-910b": 4},
        Code.HEALTH: {"nvidia-h200": 1},
        Code.LOST: {"nvidia-h200": 3},
    }
    assert found.left() == {"nvidia-h200": 2}


def test_the_constraint_that_binds_is_the_first_without_which_it_would_fit() -> None:
    pool = a_pool().node("a", "nvidia-h200", 2).node("b", "nvidia-h200", 3, closed=Closed.LOST)
    pool = pool.node("c", "nvidia-h200", 1, closed=Closed.CORDONED)
    found = _survey(pool, a_job().asking().gang)
    assert found.binding(a_job().training(2).gang) is None
    assert found.binding(a_job().training(3).gang) is Code.CORDONED
    assert found.binding(a_job().training(4).gang) is Code.LOST
    assert found.binding(a_job().training(7).gang) is Code.TOO_MANY_CHIPS


def test_shares_of_a_chip_that_would_not_make_a_whole_member_do_not_add_up() -> None:
    gangs = [a_job().gang_of(members, milli=400).gang for members in (4, 5)]
    found = _survey(a_pool().node("a", "nvidia-h200", 2), gangs[0])
    assert [found.binding(it) for it in gangs] == [None, Code.TOO_MANY_CHIPS]


def test_a_wish_for_all_vendors_there_are_is_a_wish_for_vendors() -> None:
    layout = columns_of(a_pool().node("a", "other-1", 1).snapshot).layout
    for wish, code in ((("nvidia",), Code.VENDOR), (("nvidia", "x-1"), Code.TYPE)):
        survey = Survey(a_job().asking(1, wish).gang, layout, frozenset({"nvidia"}))
        assert survey.removed() == {code: {"other-1": 1}}


def _survey(pool: PoolBuilder, gang: Gang) -> Survey:
    return Survey(gang, columns_of(pool.snapshot).layout, VENDORS)


def _only(pool: PoolBuilder, gang: Gang) -> Code | None:
    """The constraint that removes the only chip of the pool."""
    return next(iter(_survey(pool, gang).removed()), None)
