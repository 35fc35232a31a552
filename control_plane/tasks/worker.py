"""A Celery worker in a thread of this process, and the loop that asks for due work."""

from __future__ import annotations

import threading
import time
from typing import Any

import structlog
from celery import Celery
from celery.worker import state as worker_state
from kombu.exceptions import OperationalError

from control_plane.services.deps import Deps
from control_plane.services.webhooks.deliver import due_deliveries
from control_plane.tasks.app import DELIVER_WEBHOOK, FORGET_OLD, ROLL_UP_USAGE
from control_plane.threads import KeptThread

log = structlog.get_logger()

ROLL_UP_EVERY_S = 60.0
FORGET_EVERY_S = 3600.0
ASK_AGAIN_S = 15.0
RESTART_S = 1.0
STOP_S = 10.0


class EmbeddedWorker:
    """Runs tasks in threads beside the API, as long as the process lives. Built late: its import
    must not delay readiness.
    """

    def __init__(self, app: Celery, concurrency: int = 2) -> None:
        self._app = app
        self._concurrency = concurrency
        self._stopping = threading.Event()
        app.set_default()  # the current app is thread-local: without this, another one is used
        self._worker = self._build()
        self._has_run = False
        self._thread = KeptThread("worker", self._run, self._stopping)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Waits for the tasks in hand. A flag of Celery's own module tells its loop to end, which
        on Redis it does within a second, reading its socket to the end: two threads at that
        socket may wait for ever. In memory there is none, and the loop would take seconds.
        """
        self._stopping.set()
        worker_state.should_stop = 0
        if not self._worker.should_use_eventloop():
            self._worker.stop()
        self._thread.join(STOP_S)
        worker_state.should_stop = None

    def _run(self) -> None:
        """Celery gives up on errors that it takes for unrecoverable; there is nobody else."""
        while not self._stopping.is_set():
            if self._has_run:
                self._worker = self._build()
            self._has_run = True
            self._worker.start()
            if not self._stopping.wait(RESTART_S):
                log.error("worker_ended")

    def _build(self) -> Any:
        return self._app.WorkController(
            pool="threads",
            concurrency=self._concurrency,
            without_heartbeat=True,
            without_mingle=True,
            without_gossip=True,
            quiet=True,
        )


class DueWork:
    """Asks for tasks whose time has come. What a lost message cost is asked for again."""

    def __init__(self, deps: Deps, app: Celery, sweep_s: float) -> None:
        self._deps = deps
        self._app = app
        self._sweep_s = sweep_s
        self._next = {ROLL_UP_USAGE: 0.0, FORGET_OLD: 0.0}
        self._asked: dict[tuple[str, int], float] = {}
        self._stopping = threading.Event()
        self._thread = KeptThread("due-work", self._run, self._stopping)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stopping.set()
        self._thread.join(5.0)

    def _run(self) -> None:
        while not self._stopping.wait(self._sweep_s):
            try:
                self._step()
            except OperationalError as error:
                log.warning("broker_away", error=str(error))
            except Exception:  # process loop: one failed step must not end the loop
                log.exception("due_work_failed")

    def _step(self) -> None:
        self._ask_for_deliveries()
        self._every(ROLL_UP_USAGE, ROLL_UP_EVERY_S)
        self._every(FORGET_OLD, FORGET_EVERY_S)

    def _ask_for_deliveries(self) -> None:
        """One that waits in the queue is due still: it is asked for again only after a while."""
        now = time.monotonic()
        self._asked = {due: at for due, at in self._asked.items() if now - at < ASK_AGAIN_S}
        for due in due_deliveries(self._deps):
            if due not in self._asked:
                self._app.send_task(DELIVER_WEBHOOK, args=[due[0]])
                self._asked[due] = now

    def _every(self, task: str, period_s: float) -> None:
        now = time.monotonic()
        if now >= self._next[task]:
            self._app.send_task(task)
            self._next[task] = now + period_s
