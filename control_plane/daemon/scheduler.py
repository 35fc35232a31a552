"""The scheduler daemon: while it leads, runs a cycle when something changed, and sweeps. Decides
nothing itself.
"""

from __future__ import annotations

import threading
import time
from datetime import datetime

import structlog

from control_plane.daemon.clock_thread import ClockThread
from control_plane.daemon.leading import Leading
from control_plane.errors import Conflict
from control_plane.hints.hub import Hub
from control_plane.hints.topics import CYCLE, SUBMITTED
from control_plane.services.agents.launch import launch
from control_plane.services.deps import Deps
from control_plane.services.endpoints.give_up import give_up_servers
from control_plane.services.leases.expire import expire_leases
from control_plane.services.nodes.watch import watch_nodes
from control_plane.services.scheduling.cycle import run_cycle
from control_plane.services.scheduling.reconcile import reconcile
from control_plane.telemetry.metrics import Metrics
from control_plane.threads import KeptThread

log = structlog.get_logger()

MAX_PAUSE_S = 0.25
"""After a cycle the daemon rests as long as the cycle took, at most this: under a storm of hints
over a deep queue, cycles take half of one core and no more."""
SUBMITS_PAUSE = 5
MAX_SUBMITS_PAUSE_S = 2.0
"""Where no more happened than that others joined the queue, it rests so many times as long, at most
this: what was free has been looked at, and who submits waits for the processor too."""


class SchedulerDaemon:
    """One thread. Wakes on the topics `cycle` and `submitted`, and every `sweep_s` seconds without
    a hint.
    """

    def __init__(
        self, deps: Deps, hub: Hub, metrics: Metrics, sweep_s: float, leading: Leading
    ) -> None:
        self._deps = deps
        self._hub = hub
        self._metrics = metrics
        self._sweep_s = sweep_s
        self._leading = leading
        self._stopping = threading.Event()
        self._thread = KeptThread("scheduler", self._run, self._stopping)
        self._clock = ClockThread(deps, lambda: self._epoch)
        self._epoch: int | None = None
        self._swept_at = float("-inf")
        self._leads_since: datetime | None = None
        self._seen = -1
        self._submits_from = 0.0

    def start(self) -> None:
        self._thread.start()
        self._clock.start()

    def stop(self, timeout_s: float = 10.0) -> None:
        """Finishes the cycle in hand."""
        self._stopping.set()
        self._hub.deliver(CYCLE)
        self._thread.join(timeout_s)
        self._clock.stop(timeout_s)

    def _run(self) -> None:
        with self._hub.listen(CYCLE, SUBMITTED) as woken, self._hub.listen(CYCLE) as pressing:
            pressing.set()
            woken.set()
            while not self._stopping.is_set():
                triggered = woken.wait(self._sweep_s)
                if triggered:
                    pressing.wait(self._submits_from - time.monotonic())
                woken.clear()
                pressing.clear()
                if self._stopping.is_set():
                    break
                try:
                    self._step("hint" if triggered else "sweep")
                except Conflict as error:
                    log.warning("deposed", epoch=self._epoch, error=str(error))
                    self._leading.deposed()
                except Exception:  # process loop: one failed step must not end the daemon
                    log.exception("scheduler_step_failed")
                    self._metrics.cycle_failed()
                    self._stopping.wait(min(1.0, self._sweep_s))

    def _step(self, trigger: str) -> None:
        epoch = self._lead()
        if epoch is None:
            return
        if time.monotonic() - self._swept_at >= self._sweep_s:
            self._sweep()
        if trigger == "hint":
            self._cycle(epoch, trigger)
            return
        seen, due = self._latest()
        if due or seen != self._seen:
            self._cycle(epoch, trigger)
            self._seen = seen  # only now: a cycle that failed has to be run again

    def _cycle(self, epoch: int, trigger: str) -> None:
        started = time.perf_counter()
        placed = run_cycle(self._deps, epoch, trigger)
        took = time.perf_counter() - started
        self._metrics.cycle(placed, took)
        self._submits_from = time.monotonic() + min(SUBMITS_PAUSE * took, MAX_SUBMITS_PAUSE_S)
        self._stopping.wait(min(took, MAX_PAUSE_S))

    def _lead(self) -> int | None:
        """The epoch to decide under. A new one begins with a look at everything."""
        epoch = self._leading.epoch()
        if epoch != self._epoch:
            self._leads_since = self._lease_time()
            self._seen = -1
        self._epoch = epoch
        return epoch

    def _sweep(self) -> None:
        assert self._leads_since is not None
        expire_leases(self._deps)
        watch_nodes(self._deps, self._leads_since)
        give_up_servers(self._deps)
        reconcile(self._deps)
        launch(self._deps)
        self._swept_at = time.monotonic()

    def _lease_time(self) -> datetime:
        with self._deps.store.read() as tx:
            return tx.lease_time

    def _latest(self) -> tuple[int, bool]:
        """How far events go, and whether something waited for the clock only."""
        with self._deps.store.read() as tx:
            return tx.events.last_id(), tx.gangs.any_due(tx.lease_time)
