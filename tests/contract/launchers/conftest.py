"""Two owners of processes behind one contract: an agent, and the launcher in memory."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Protocol

import pytest

from control_plane.clock import ManualClock
from control_plane.launchers.fake import FakeLauncher
from control_plane.services.agents.launch import launch
from control_plane.services.deps import Deps
from penstock.api.ids import ReplicaId
from penstock.api.states import ExitReason
from tests.fakes.cluster import Cluster
from tests.fakes.node_agent import FakeAgent
from tests.integration.conftest import (
    clock,
    database_url,
    deps,
    hub,
    postgres_server,
    sqlite_template,
    store,
)

__all__ = ["clock", "database_url", "deps", "hub", "postgres_server", "sqlite_template", "store"]
LAUNCHER = "fake"


class Owner(Protocol):
    """Who owns the processes of the node `a`, as a test sees it."""

    proven_by_time: bool
    """Whether a replica of which nobody tells is over at some time."""

    def turn(self) -> None:
        """One round of everything that it does."""

    def cut(self, *, off: bool) -> None:
        """Whether it and the control plane reach each other."""

    def running(self) -> set[ReplicaId]:
        """Replicas whose process lives and may."""

    def started(self) -> list[ReplicaId]:
        """Replicas in the order in which their processes were started."""

    def end(self, replica_id: ReplicaId, reason: ExitReason) -> None:
        """A process ends by itself."""


@dataclass(slots=True)
class OfAgent:
    agent: FakeAgent
    proven_by_time: bool = True
    _started: list[ReplicaId] = field(default_factory=list)

    def turn(self) -> None:
        self.agent.tick()
        if self.agent.online:
            for process in self.agent.live():
                self.agent.run(process.id)
            self.agent.report()
        self._started += [ReplicaId(it) for it in self.agent.processes if it not in self._started]

    def cut(self, *, off: bool) -> None:
        self.agent.online = not off

    def running(self) -> set[ReplicaId]:
        return {ReplicaId(it.id) for it in self.agent.live()}

    def started(self) -> list[ReplicaId]:
        return self._started

    def end(self, replica_id: ReplicaId, reason: ExitReason) -> None:
        self.agent.exit(replica_id, reason)


@dataclass(slots=True)
class OfLauncher:
    deps: Deps
    agent: FakeAgent
    """It reads the node's chips and says that it is alive; the processes are not its own."""
    launcher: FakeLauncher
    proven_by_time: bool = False

    def turn(self) -> None:
        if self.launcher.reachable:
            self.agent.tick()
            assert not self.agent.processes
        launch(self.deps)

    def cut(self, *, off: bool) -> None:
        self.launcher.reachable = not off

    def running(self) -> set[ReplicaId]:
        return self.launcher.running()

    def started(self) -> list[ReplicaId]:
        return self.launcher.starts

    def end(self, replica_id: ReplicaId, reason: ExitReason) -> None:
        self.launcher.end(replica_id, reason)


@dataclass(slots=True)
class Rig:
    cluster: Cluster
    owner: Owner

    def round(self, seconds: float = 1.0) -> None:
        """Time passes; the owner has its turn, then the control plane."""
        self.cluster.clock.advance(seconds)
        self.owner.turn()
        self.cluster.sweep()
        self.cluster.cycle()
        self.owner.turn()


@pytest.fixture(params=["agent", LAUNCHER])
def rig(request: pytest.FixtureRequest, deps: Deps, clock: ManualClock) -> Rig:
    launcher = FakeLauncher(clock.now)
    cluster = Cluster(replace(deps, launchers={LAUNCHER: launcher}), clock)
    agent = cluster.node("a", launcher=request.param)
    if request.param == LAUNCHER:
        return Rig(cluster, OfLauncher(cluster.deps, agent, launcher))
    return Rig(cluster, OfAgent(agent))
