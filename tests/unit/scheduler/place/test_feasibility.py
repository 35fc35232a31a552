"""Hard checks on chips: what a wish means, and which constraint removes what."""

from __future__ import annotations

from dataclasses import replace

import pytest

from scheduler.model import Closed, Code, MemberRequest, NodeId
from scheduler.place.feasibility import binding, can_hold, obstacle, survey
from scheduler.snapshot.overlays import Index
from tests.builders import GIB, VENDORS, a_chip, a_job, a_pool

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
    node = a_pool().node("a", closed=Closed.CORDONED).snapshot.nodes[0]
    ill = replace(CHIP, healthy=False)
    demanding = MemberRequest(1, memory_bytes=900 * GIB, dtype="fp8")
    assert obstacle(ill, node, replace(demanding, wish=("ascend",)), VENDORS) is Code.VENDOR
    assert obstacle(ill, node, replace(demanding, wish=("x",)), VENDORS) is Code.TYPE
    assert obstacle(ill, node, demanding, VENDORS) is Code.MEMORY
    assert obstacle(ill, node, MemberRequest(1, dtype="fp8"), VENDORS) is Code.DTYPE
    assert obstacle(ill, node, MemberRequest(1), VENDORS) is Code.HEALTH
    assert obstacle(CHIP, node, MemberRequest(1), VENDORS) is Code.CORDONED
    assert obstacle(CHIP, replace(node, closed=None), MemberRequest(1), VENDORS) is None


def test_every_chip_is_counted_once() -> None:
    pool = a_pool().node("a", "nvidia-h200", 2).chips("nvidia-h200", 1, healthy=False)
    pool = pool.node("b", "nvidia-h200", 3, closed=Closed.LOST).node("c", "ascend-910b", 4)
    found = survey(MemberRequest(1, wish=("nvidia",)), Index(pool.snapshot))
    assert found.removed() == {
        Code.VENDOR: {"ascend-910b": 4},
        Code.HEALTH: {"nvidia-h200": 1},
        Code.LOST: {"nvidia-h200": 3},
    }
    assert sum(found.groups[None].values()) == 2


def test_the_constraint_that_binds_is_the_first_without_which_it_would_fit() -> None:
    pool = a_pool().node("a", "nvidia-h200", 2).node("b", "nvidia-h200", 3, closed=Closed.LOST)
    pool = pool.node("c", "nvidia-h200", 1, closed=Closed.CORDONED)
    found = survey(MemberRequest(1), Index(pool.snapshot))
    assert binding(a_job().training(2).gang, found) is None
    assert binding(a_job().training(3).gang, found) is Code.CORDONED
    assert binding(a_job().training(4).gang, found) is Code.LOST
    assert binding(a_job().training(7).gang, found) is Code.TOO_MANY_CHIPS
