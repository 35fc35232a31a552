"""Nothing starts on a chip that a process uses which is no replica's."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from agents.boottime import boottime_ns
from agents.replicas.controller import ReplicaController
from agents.replicas.foreign import ForeignUse
from agents.runtimes.fake import FakeRuntime
from penstock.api.assignments import Assignment
from tests.fakes.agent_parts import a_chip, a_keeper, a_list, an_assignment

REAL = a_chip(0, key="gpu-0", emulated=False)


class Owning(FakeRuntime):
    """Every replica is process 42."""

    def pids(self, replica_id: str) -> frozenset[int]:
        return frozenset({42})


def in_use(
    controller: ReplicaController, held_by: Mapping[str, tuple[int, ...]], *starting: Assignment
) -> frozenset[str]:
    foreign = ForeignUse(lambda: held_by, controller.runtime, controller.replicas)
    return asyncio.run(foreign.chips_in_use(starting))


def test_a_strangers_process_keeps_a_chip() -> None:
    controller = a_keeper(Owning())
    wanted = an_assignment(chips=(REAL,))
    assert in_use(controller, {"gpu-0": (7,)}, wanted) == {"chip_0"}
    assert in_use(controller, {"gpu-0": ()}, wanted) == frozenset()
    assert in_use(controller, {"gpu-1": (7,)}, wanted) == frozenset()


def test_a_replica_of_ours_on_the_other_half_is_no_stranger() -> None:
    controller = a_keeper(Owning())
    controller.take(a_list(1, an_assignment("replica_1")), boottime_ns())
    assert in_use(controller, {"gpu-0": (42,)}, an_assignment(chips=(REAL,))) == frozenset()
    assert in_use(controller, {"gpu-0": (42, 7)}, an_assignment(chips=(REAL,))) == {"chip_0"}


def test_nobody_is_asked_about_chips_that_are_only_emulated() -> None:
    def fails() -> Mapping[str, tuple[int, ...]]:
        raise AssertionError("asked")

    controller = a_keeper(Owning())
    foreign = ForeignUse(fails, controller.runtime, controller.replicas)
    assert asyncio.run(foreign.chips_in_use([an_assignment(chips=(a_chip(),))])) == frozenset()
