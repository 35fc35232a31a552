"""One agent: its parts joined, its loops running. The process around it is `main.py`'s."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import AsyncIterator, Coroutine, Iterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from random import Random
from typing import Final

import structlog

from agents.client import ControlPlane, Denied, Refused, Unreachable
from agents.forever import Turn, forever
from agents.node import enrol, identity, incarnation
from agents.node.enrol import Joining
from agents.node.identity import Identity
from agents.node.inventory import NodeWatch
from agents.replicas import sockets
from agents.replicas.assignments import AssignmentLoop
from agents.replicas.controller import ReplicaController
from agents.replicas.foreign import ForeignUse
from agents.replicas.readiness import ReadinessLoop
from agents.replicas.sweep import SweepLoop
from agents.reporting.heartbeat import HeartbeatLoop
from agents.reporting.logs import LogLoop
from agents.reporting.metrics_feed import MetricsFeed
from agents.reporting.reports import ReportLoop
from agents.reporting.workload_socket import WorkloadSocket
from agents.runtimes.process.folders import ReplicaFolders
from agents.settings import Settings, forget_token
from penstock.backoff import Backoff

log = structlog.get_logger()

LAST_REPORT_S: Final = 1.0
DRAIN_EXTRA_S: Final = 10.0
DRAIN_LOOK_S: Final = 0.05
NOTE_AGAIN_S: Final = 1.0
LOCAL: Final = frozenset({"readiness", "sweep", "node"})
"""Loops that need no control plane."""


@dataclass(slots=True)
class Agent:
    """Everything that one node's agent consists of."""

    settings: Settings
    control_plane: ControlPlane
    controller: ReplicaController
    node: NodeWatch
    workloads: WorkloadSocket
    reports: ReportLoop
    logs: LogLoop
    readiness: ReadinessLoop
    foreign: ForeignUse
    metrics_feed: MetricsFeed
    random: Random
    folders: ReplicaFolders
    identity: Identity | None = None

    async def join(self) -> None:
        """Finds the chips and who we are; raises CannotJoin."""
        await self.node.look()
        settings = self.settings
        joining = Joining(settings.state_dir, settings.server, settings.name, settings.token())
        self.identity = await enrol.join(
            joining, self.control_plane, self.node.inventory, self.random
        )
        forget_token(settings)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[asyncio.Task[None]]:
        """The loops run inside; afterwards what is still to be told has a last chance. The task
        ends when the agent cannot go on: with Superseded.
        """
        path = sockets.workload_socket(self.settings.state_dir)
        sockets.prepare(path)
        await self.workloads.start(path)
        sockets.admit(path, self.settings.first_uid)
        lost = asyncio.create_task(self._work())
        try:
            yield lost
        finally:
            lost.cancel()
            await asyncio.gather(lost, return_exceptions=True)
            await self._last_report()
            await self.workloads.close()
            path.unlink(missing_ok=True)

    async def give_up(self) -> None:
        """Ends every replica: another start of the agent speaks for this node now."""
        self.controller.stop_unleased([held.id for held in self.controller.replicas.live()])
        last = time.monotonic() + DRAIN_EXTRA_S
        while self.controller.replicas.live() and time.monotonic() < last:
            await asyncio.sleep(DRAIN_LOOK_S)
            self.controller.sweep()

    async def drain(self) -> None:
        """Stops every replica and waits until their ends are reported."""
        self.controller.stop_all("the agent is draining its node")
        graces = [held.assignment.stop_grace_s for held in self.controller.replicas.live()]
        last = time.monotonic() + max(graces, default=0.0) + DRAIN_EXTRA_S
        while any(not held.exit_accepted for held in self.controller.replicas):
            if time.monotonic() > last:
                log.warning(
                    "drain_incomplete", replicas=[held.id for held in self.controller.replicas]
                )
                return
            await asyncio.sleep(DRAIN_LOOK_S)

    def export(self) -> None:
        """Serves metrics where the settings ask for them. OSError when the port is taken."""
        if self.settings.metrics_port is not None:
            self.metrics_feed.exporter.start(self.settings.metrics_port, self.settings.metrics_host)

    def close(self) -> None:
        self.metrics_feed.exporter.stop()
        self.controller.runtime.close()

    async def rotate(self) -> None:
        """Exchanges the credential; the new one is kept before it is used."""
        assert self.identity is not None
        reply = await self.control_plane.rotate()
        self.identity = identity.rotated(self.settings.state_dir, self.identity, reply.credential)
        self.control_plane.credential = reply.credential
        log.info("credential_rotated", node_id=self.identity.node_id)

    async def _work(self) -> None:
        """What an earlier run on this very folder left is taken up at once: the control plane may
        be away for long. In any other folder it is touched only once this start was accepted.
        """
        state_dir, taken_up, begun = self.settings.state_dir, asyncio.Event(), asyncio.Event()
        if incarnation.previous(state_dir):
            await self._take_up(taken_up)
        tasks = [asyncio.create_task(self._begin(taken_up, begun), name="begin")]
        for name, turn in self._forever():
            after = taken_up if name in LOCAL else begun
            tasks.append(asyncio.create_task(_after(after, turn), name=name))
        try:
            await asyncio.gather(*tasks)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _begin(self, taken_up: asyncio.Event, begun: asyncio.Event) -> None:
        state_dir = self.settings.state_dir
        own = await enrol.begin(state_dir, self.folders, self.control_plane, self.random)
        await self._take_up(taken_up)
        begun.set()
        while True:
            try:
                return incarnation.note(state_dir, (own,))
            except OSError:  # a full disk: without the note the next start would have to wait
                await asyncio.sleep(NOTE_AGAIN_S)

    async def _take_up(self, taken_up: asyncio.Event) -> None:
        if not taken_up.is_set():
            await self.controller.recover()
            self.controller.runtime.listen(self.controller.hint)
            taken_up.set()

    def _turns(self) -> Iterator[tuple[str, Turn]]:
        assert self.identity is not None
        heartbeat = HeartbeatLoop(
            self.control_plane,
            self.controller,
            self.node,
            uuid.uuid4().hex,
            self.identity.heartbeat_interval_s,
            self.rotate,
        )
        yield "heartbeat", heartbeat.turn
        yield "assignments", AssignmentLoop(self.control_plane, self.controller, self.foreign).turn
        yield "reports", self.reports.turn
        yield "logs", self.logs.turn
        yield "readiness", self.readiness.turn
        yield "sweep", SweepLoop(self.controller, self.foreign, self._picture).turn
        yield "node", self.node.turn

    def _picture(self) -> None:
        if self.settings.metrics_port is not None:
            self.metrics_feed.refresh()

    def _forever(self) -> Iterator[tuple[str, Coroutine[None, None, None]]]:
        """No pause is longer than a heartbeat's: leases run on while the control plane is back."""
        assert self.identity is not None
        most_s = self.identity.heartbeat_interval_s
        for name, turn in self._turns():
            yield name, forever(name, turn, Backoff(self.random, most_s=most_s))

    async def _last_report(self) -> None:
        with suppress(Unreachable, Denied, Refused, TimeoutError):
            async with asyncio.timeout(LAST_REPORT_S):
                while await self.reports.send():
                    pass


async def _after(event: asyncio.Event, turn: Coroutine[None, None, None]) -> None:
    try:
        await event.wait()
    except asyncio.CancelledError:
        turn.close()
        raise
    await turn
