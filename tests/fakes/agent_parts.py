"""Assignments and the parts of an agent around a fake runtime, as the agent's tests need them."""

from __future__ import annotations

import itertools
from collections.abc import Coroutine
from dataclasses import dataclass, field
from random import Random
from typing import Any, TypeVar, cast

import httpx

from agents.client import ControlPlane
from agents.replicas.controller import ReplicaController
from agents.replicas.ports import Ports
from agents.replicas.turns import Turns
from agents.runtimes.fake import FakeRuntime, Script
from penstock.api.assignments import AssignedChip, Assignment, AssignmentList, LeaseGrant
from penstock.api.ids import ReplicaId
from tests.fakes.control_plane import FakeControlPlane

T = TypeVar("T")

_DEFAULTS: dict[str, Any] = {
    "job_id": "job_1", "job_name": "job", "project": "default", "project_number": 1,
    "queue": "default", "epoch": 1, "rank": 0, "world_size": 1, "desired": "run",
    "cores_milli": 1000, "memory_bytes": 256 << 20, "command": ("true",), "storage": "memory://jobs/job_1",
}  # fmt: skip


def an_assignment(replica_id: str = "replica_1", **fields: Any) -> Assignment:
    """One replica that is to run; `fields` replace the defaults."""
    given = {**_DEFAULTS, "lease": a_lease(replica_id, fields.get("epoch", 1)), **fields}
    return Assignment(replica_id=ReplicaId(replica_id), **given)


def a_lease(replica_id: str = "replica_1", epoch: int = 1, remaining_s: float = 300) -> LeaseGrant:
    return LeaseGrant(
        replica_id=ReplicaId(replica_id), epoch=epoch, remaining_s=remaining_s, margin_s=11.0
    )


def a_chip(number: int = 0, milli: int = 1000, **fields: Any) -> AssignedChip:
    """A part of an emulated chip."""
    given: dict[str, Any] = {
        "chip_id": f"chip_{number}", "key": f"emulated-a100-{number}", "vendor": "emulated",
        "type": "emulated-a100", "index": number, "milli": milli, "emulated": True,
        "stands_for": "a100", "cores_milli": 500 * milli // 1000, **fields,
    }  # fmt: skip
    return AssignedChip(**given)


def a_list(generation: int, *assignments: Assignment) -> AssignmentList:
    return AssignmentList(generation=generation, assignments=assignments)


class CountingPorts(Ports):
    """Hands out 20001, 20002, ... without looking whether they are free."""

    numbers = itertools.count(20001)

    def reserve(self, host: str, taken: Any) -> int:
        return next(self.numbers)


def now(work: Coroutine[Any, Any, T]) -> T:
    """The result of what has nothing to wait for, outside of any loop too."""
    try:
        work.send(None)
    except StopIteration as end:
        return cast(T, end.value)
    raise AssertionError("it waits")


@dataclass(slots=True)
class AtOnce(Turns):
    """Turns that are over when their asker goes on: for runtimes that never wait."""

    _waiting: list[Coroutine[None, None, None]] = field(default_factory=list)
    _is_busy: bool = False

    def _spawn(self, replica_id: ReplicaId, work: Coroutine[None, None, None]) -> None:
        self._waiting.append(work)
        if not self._is_busy:
            self._is_busy = True
            while self._waiting:
                now(self._waiting.pop(0))
            self._is_busy = False


def a_controller(runtime: FakeRuntime) -> ReplicaController:
    """Needs a running loop."""
    controller = ReplicaController(runtime, "127.0.0.1", CountingPorts(20001, 29999, Random(1)))
    runtime.listen(controller.hint)
    return controller


def a_keeper(runtime: FakeRuntime) -> ReplicaController:
    """Needs no loop: every turn is over at once."""
    controller = a_controller(runtime)
    controller._turns = AtOnce(controller._turn)
    return controller


@dataclass(slots=True)
class Bench:
    """A controller over a fake runtime, and a client of a fake control plane, without sockets."""

    fake: FakeControlPlane = field(default_factory=FakeControlPlane)
    runtime: FakeRuntime = field(default_factory=lambda: FakeRuntime(lambda _: Script()))
    controller: ReplicaController = field(init=False)
    client: ControlPlane = field(init=False)

    def __post_init__(self) -> None:
        self.controller = a_keeper(self.runtime)
        http = httpx.AsyncClient(base_url="http://test", transport=self.fake.transport())
        self.client = ControlPlane(http, self.fake.credential)
