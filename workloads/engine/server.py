"""The serving process: listens, loads, serves, drains. Its parts live in the modules around it.

The port opens at once and /health answers 503 until the model is loaded, in a thread, where the
engine's loop then runs. SIGTERM turns /health to 503, lets running streams finish and ends.
"""

from __future__ import annotations

import asyncio
import gc
import threading
import time
from collections.abc import Callable, Coroutine
from types import FrameType
from typing import TYPE_CHECKING, Final, TextIO, cast

import structlog
import uvicorn

from penstock.api.work import Phase
from penstock.last_resort import SafeStream
from workloads.checkpoints.model_files import ModelRefused, ModelUnreachable
from workloads.engine.api.routes import ChipIdentity, build_app
from workloads.engine.api.service import Service, State
from workloads.engine.metrics import EngineMetrics
from workloads.engine.options import ServeWork
from workloads.engine.reporting import AgentReports
from workloads.engine.sequence import Piece
from workloads.failures import failure_of
from workloads.reporter import Reporter
from workloads.settings import Settings

if TYPE_CHECKING:
    from workloads.engine.build import Built

log = structlog.get_logger()
CLOSE_S: Final = 1
"""How long each may take after draining: connections, the engine's last step, the last report."""


def main(settings: Settings) -> None:
    """Serves until told to stop; raises SystemExit(1) where the model or the engine failed."""
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(cast("TextIO", SafeStream())))
    process = ServingProcess(settings, ServeWork.model_validate(settings.work))
    asyncio.run(process.serve())
    if process.service.state is State.FAILED:
        raise SystemExit(1)


class ServingProcess:
    """Joins the HTTP server, the engine's thread and the reports to the agent."""

    def __init__(self, settings: Settings, work: ServeWork) -> None:
        self.service = Service(work)
        self._began = time.monotonic()
        self._settings = settings
        self._work = work
        self._metrics = EngineMetrics(work.model_name, settings.chip_type)
        self._reporter = Reporter(settings.agent_socket, settings.replica_id, settings.agent_token)
        self._engine_thread = threading.Thread(target=self._run_engine, name="engine", daemon=True)
        self._built: Built | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    async def serve(self) -> None:
        """Returns once the server has closed and the engine has stopped."""
        self._loop = asyncio.get_running_loop()
        self._server = _Server(self._http_config(), self._stop_requested)
        self._engine_thread.start()
        await self._server.serve()
        for task in self._tasks:
            task.cancel()
        if self._built:
            self._built.engine.stop()
            self._engine_thread.join(CLOSE_S)
        self._reporter.close(CLOSE_S)

    def _http_config(self) -> uvicorn.Config:
        chip = self._settings.chips[0] if self._settings.chips else None
        identity = ChipIdentity(
            chip_type=self._settings.chip_type,
            emulated=bool(chip and chip.emulated),
            stands_for=chip.stands_for if chip else None,
        )
        return uvicorn.Config(
            build_app(self.service, self._metrics, identity),
            host=self._settings.host,
            port=self._settings.port,
            loop="asyncio",
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            timeout_keep_alive=75,
            timeout_graceful_shutdown=CLOSE_S,
        )

    def _run_engine(self) -> None:
        """The engine's thread: loads, which imports torch, then steps until stopped."""
        loaded = False
        try:
            gc.disable()
            from workloads.engine.build import build_engine

            gc.freeze()
            gc.enable()

            built = build_engine(
                self._work, self._settings.chips, self._publish, self._metrics, time.monotonic
            )
            loaded = True
            self._post(lambda: self._on_built(built))
            built.engine.run()
        except ModelRefused as error:
            log.error("model_refused", model_uri=self._work.model_uri, reason=str(error))
            final = not isinstance(error, ModelUnreachable)
            self._reporter.failed("model_refused", str(error), final=final)
            self._post(self._on_failed)
        except ModuleNotFoundError as error:
            code, message = failure_of(error)
            log.error(code, reason=message)
            self._reporter.failed(code, message)
            self._post(self._on_failed)
        except Exception as error:  # process loop: nothing is left to serve, it ends and says why
            log.exception("engine_failed")
            code, message = failure_of(error)
            during = "serving" if loaded else "loading"
            self._reporter.failed(code, f"{during} {self._work.model_uri} failed: {message}")
            self._post(self._on_failed)

    def _publish(self, pieces: list[Piece]) -> None:
        self._post(lambda: self.service.dispatch(pieces))

    def _post(self, call: Callable[[], None]) -> None:
        """Runs `call` on the event loop, unless that has ended already."""
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(call)

    def _on_built(self, built: Built) -> None:
        self._built = built
        seconds = time.monotonic() - self._began
        self.service.ready(built.served)
        self._metrics.ready(seconds)
        reports = AgentReports(self._reporter, built.classes, lambda: built.engine.totals)
        reports.ready(built.tokens_per_s)
        self._spawn(reports.run)
        log.info(
            "serve_ready",
            model=self._work.model_name,
            seconds=round(seconds, 2),
            manifest_sha256=built.served.manifest_sha256,
            context=built.served.context,
            tokens_per_s=round(built.tokens_per_s[Phase.DECODE], 1),
            chip_type=self._settings.chip_type,
        )

    def _on_failed(self) -> None:
        self.service.stop_admitting(State.FAILED)
        self.service.end_all()
        self._server.should_exit = True

    def _stop_requested(self) -> None:
        """A signal came: once drains, twice ends at once."""
        if self.service.state is State.DRAINING:
            self._server.force_exit = self._server.should_exit = True
            return
        self.service.stop_admitting(State.DRAINING)
        log.info("serve_draining", grace_s=self._work.drain_s)
        self._spawn(self._drain)

    async def _drain(self) -> None:
        if not await self.service.drained(self._work.drain_s):
            log.warning("serve_drain_cut_short", grace_s=self._work.drain_s)
            self.service.end_all()
        self._server.should_exit = True

    def _spawn(self, work: Callable[[], Coroutine[None, None, None]]) -> None:
        task = self._loop.create_task(work())
        self._tasks.add(task)


class _Server(uvicorn.Server):
    """uvicorn, with the meaning of signals left to us."""

    def __init__(self, config: uvicorn.Config, on_signal: Callable[[], None]) -> None:
        super().__init__(config)
        self._on_signal = on_signal

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        asyncio.get_running_loop().call_soon_threadsafe(self._on_signal)
