"""Composition root: builds every part from the settings and runs them in one process."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import partial
from pathlib import Path
from types import FrameType

import structlog
import uvicorn
from fastapi import FastAPI, Response

from control_plane.api.address import Listening
from control_plane.api.app import build_api
from control_plane.clock import SharedClock, SystemClock
from control_plane.daemon.leading import Leading
from control_plane.daemon.scheduler import SchedulerDaemon
from control_plane.gateway.router import Gateway
from control_plane.hints.hub import Hub
from control_plane.hints.redis import RedisHints
from control_plane.server.beats import beat
from control_plane.server.connections import (
    BACKLOG,
    bounded_protocol,
    most_connections,
    raise_descriptors,
)
from control_plane.server.interpreter import tune
from control_plane.services.accounts.bootstrap import bootstrap
from control_plane.services.accounts.tokens import ensure_admin
from control_plane.services.deps import Deps, Rules
from control_plane.services.nodes.count import count_pool
from control_plane.settings import Settings
from control_plane.store.bounded_logs import BoundedLogs
from control_plane.store.database.engine import Database, open_database
from control_plane.store.database.migrate import migrate
from control_plane.store.database.sole_writer import hold_database
from control_plane.store.log_store import LogStore
from control_plane.store.unit_of_work import Store
from control_plane.telemetry.http import RequestMeter
from control_plane.telemetry.logging import configure_logging
from control_plane.telemetry.metrics import Metrics
from control_plane.threads import KeptThread
from penstock.private_files import tighten, with_journal, write_private
from scheduler.policies.priority_age import PRIORITY_AGE

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Parts:
    """The collaborators of one process."""

    settings: Settings
    deps: Deps
    hub: Hub
    metrics: Metrics

    def close(self) -> None:
        self.deps.store.database.dispose()


class Background:
    """The threads of this process: hints from others, the scheduler daemon, the worker."""

    def __init__(self, parts: Parts) -> None:
        deps = parts.deps
        self._parts = replace(parts, deps=replace(deps, store=deps.store.for_loops()))
        self._stops: list[Callable[[], None]] = []
        self._stopping = threading.Event()
        self._starting = KeptThread("start", self._start_worker, self._stopping)

    def start(self) -> None:
        settings, deps, hub = self._parts.settings, self._parts.deps, self._parts.hub
        if settings.redis_url is not None:
            hints = RedisHints(settings.redis_url, hub)
            hints.start()
            self._stops.append(hints.stop)
        leads = "scheduler" in settings.parts
        leading = Leading(
            deps, hub, settings.leader_ttl_s, wants=leads, alone=deps.store.database.is_sqlite
        )
        leading.start()
        self._stops.append(leading.stop)
        if leads:
            daemon = SchedulerDaemon(deps, hub, self._parts.metrics, settings.sweep, leading)
            daemon.start()
            self._stops.append(daemon.stop)
        if "worker" in settings.parts:
            self._starting.start()

    def stop(self) -> None:
        self._stopping.set()
        self._starting.join(10.0)
        for stop in reversed(self._stops):
            stop()

    def _start_worker(self) -> None:
        """In a thread of its own: importing Celery takes longer than the API's whole start."""
        from control_plane.tasks.app import build_tasks
        from control_plane.tasks.webhook_client import WebhookClient
        from control_plane.tasks.worker import DueWork, EmbeddedWorker

        settings = self._parts.settings
        post = WebhookClient(settings.webhook_allow_private)
        retention = timedelta(days=settings.retention_days)
        app = build_tasks(self._parts.deps, post, settings.redis_url, retention)
        worker = EmbeddedWorker(app)
        due = DueWork(self._parts.deps, app, settings.sweep)
        worker.start()
        due.start()
        self._stops += [worker.stop, due.stop]


def build(settings: Settings, dropped_log_lines: Callable[[], int] = lambda: 0) -> Parts:
    """Opens the database (migrated), the log store and the hub; starts nothing."""
    settings.home_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    hub = Hub()
    database = open_database(settings.database)
    _keep_private(settings, database)
    migrate(database)
    rules = Rules(
        heartbeat_s=settings.heartbeat_s,
        suspect_after_s=settings.suspect_after_s,
        lost_after_s=settings.lost_after_s,
        leader_term_s=settings.leader_ttl_s,
        allows_private_webhooks=settings.webhook_allow_private,
    )
    clock = SystemClock() if database.is_sqlite else SharedClock(database.time)
    deps = Deps(
        store=Store(database),
        hints=hub,
        clock=clock,
        logs=BoundedLogs(LogStore(settings.storage_uri, settings.log_keep_bytes)),
        storage=settings.storage_uri,
        policy=PRIORITY_AGE,
        rules=rules,
    )
    bootstrap(deps)
    return Parts(settings, deps, hub, Metrics(partial(count_pool, deps), dropped_log_lines))


def _keep_private(settings: Settings, database: Database) -> None:
    """Files of older installations, and of other hands, that others may read; and a new database
    is private before anything is in it.
    """
    home = settings.home_dir
    tighten(home, home / "admin-token", home / "storage", home / "storage" / "logs")
    tighten(home / "logs", *home.glob("logs/*.log"))
    path = database.engine.url.database
    if database.is_sqlite and path:
        Path(path).touch(mode=0o600)
        tighten(*with_journal(Path(path)))


def build_app(parts: Parts) -> FastAPI:
    """The HTTP application; its lifespan runs the daemon, the gateway and the worker."""
    settings = parts.settings
    gateway = Gateway(parts.deps, parts.hub, auth=settings.auth)
    app = build_api(
        parts.deps,
        parts.hub,
        auth=settings.auth,
        lifespan=_lifespan(parts, gateway),
        listening=Listening(settings.host, settings.public_url),
    )
    app.include_router(gateway.router())
    app.add_middleware(RequestMeter, observe=parts.metrics.request)
    exposition = partial(_exposition, parts.metrics)
    app.add_api_route("/metrics", exposition, methods=["GET"], include_in_schema=False)
    return app


def serve(settings: Settings, to_beat: int | None) -> None:
    """Runs until SIGTERM or SIGINT, and beats on the descriptor where a parent listens to it.
    Raises InUse where another server has the database.
    """
    stream = configure_logging(settings.log_level)
    settings.home_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    hold_database(settings.database)
    parts = build(settings, lambda: stream.dropped)
    _write_admin_token(parts)
    listener = _listen(settings.host, settings.port)
    app = build_app(parts)
    config = uvicorn.Config(
        app,
        log_level="warning",
        log_config=None,
        access_log=False,
        backlog=BACKLOG,
        http=bounded_protocol(most_connections(raise_descriptors())),
        ws="none",
        server_header=False,
        timeout_graceful_shutdown=3,
        timeout_keep_alive=30,
    )
    tune()
    log.info("listening", host=settings.host, port=listener.getsockname()[1])
    _Server(config, parts, app.state.streams.close, to_beat).run(sockets=[listener])


class _Server(uvicorn.Server):
    """Beats once it answers. Ends long polls and streams at the signal, instead of waiting for
    their clients, and lets go of the database at the end: SQLite's file is whole without its
    journal then, for whoever copies it.
    """

    def __init__(
        self,
        config: uvicorn.Config,
        parts: Parts,
        end_streams: Callable[[], None],
        to_beat: int | None,
    ) -> None:
        super().__init__(config)
        self._parts = parts
        self._end_streams = end_streams
        self._to_beat = to_beat

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started and self._to_beat is not None:
            beat(self._to_beat, asyncio.get_running_loop())

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """After it the signal is raised again: nothing that follows `run` would be reached."""
        await super().shutdown(sockets)
        self._parts.close()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        self._end_streams()
        super().handle_exit(sig, frame)


def _exposition(metrics: Metrics) -> Response:
    return Response(metrics.exposition(), media_type="text/plain; version=0.0.4; charset=utf-8")


def _lifespan(
    parts: Parts, gateway: Gateway
) -> Callable[[FastAPI], AbstractAsyncContextManager[None]]:
    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        background = Background(parts)
        background.start()
        async with gateway.running():
            yield
        await asyncio.to_thread(background.stop)

    return lifespan


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind((host, port))
    return listener


def _write_admin_token(parts: Parts) -> None:
    """A fresh cloud's first token, readable by its owner only, shown nowhere else: there is none
    before it is written, so that a full disk locks nobody out.
    """
    path: Path = parts.settings.home_dir / "admin-token"
    ensure_admin(parts.deps, keep=lambda secret: write_private(path, secret + "\n"))
