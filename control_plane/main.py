"""Composition root: builds every part from the settings and runs them in one process."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import structlog
import uvicorn
from fastapi import FastAPI

from control_plane.api.app import build_api
from control_plane.clock import SystemClock
from control_plane.daemon.scheduler import SchedulerDaemon
from control_plane.hub import Hub
from control_plane.launchers.agent import AgentLauncher
from control_plane.services.bootstrap import bootstrap
from control_plane.services.deps import Deps, Rules
from control_plane.services.tokens import ensure_admin
from control_plane.settings import Settings
from control_plane.store.engine import open_database
from control_plane.store.log_store import LogStore
from control_plane.store.migrate import migrate
from control_plane.store.unit_of_work import Store
from control_plane.telemetry.logging import configure_logging

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Parts:
    """The collaborators of one process."""

    settings: Settings
    deps: Deps
    hub: Hub

    def close(self) -> None:
        self.deps.store.database.dispose()


def build(settings: Settings) -> Parts:
    """Opens the database (migrated), the log store and the hub; starts nothing."""
    settings.home_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    hub = Hub()
    database = open_database(settings.database)
    migrate(database)
    rules = Rules(
        heartbeat_s=settings.heartbeat_s,
        suspect_after_s=settings.suspect_after_s,
        lost_after_s=settings.lost_after_s,
    )
    deps = Deps(
        store=Store(database), hints=hub, clock=SystemClock(),
        logs=LogStore(settings.storage_uri), storage=settings.storage_uri,
        launcher=AgentLauncher(hub.publish), rules=rules,
    )  # fmt: skip
    bootstrap(deps)
    return Parts(settings, deps, hub)


def build_app(parts: Parts) -> FastAPI:
    """The HTTP application; its lifespan runs the daemon and the worker."""
    return build_api(parts.deps, parts.hub, auth=parts.settings.auth, lifespan=_lifespan(parts))


def serve(settings: Settings) -> None:
    """Runs until SIGTERM or SIGINT."""
    configure_logging(settings.log_level)
    parts = build(settings)
    _write_admin_token(parts)
    listener = _listen(settings.host, settings.port)
    config = uvicorn.Config(
        build_app(parts), log_level="warning", access_log=False, server_header=False,
        timeout_graceful_shutdown=3, timeout_keep_alive=30,
    )  # fmt: skip
    log.info("listening", host=settings.host, port=listener.getsockname()[1])
    uvicorn.Server(config).run(sockets=[listener])
    parts.close()


def _lifespan(parts: Parts) -> Callable[[FastAPI], AbstractAsyncContextManager[None]]:
    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        settings = parts.settings
        daemon = SchedulerDaemon(parts.deps, parts.hub, settings.sweep, settings.leader_ttl_s)
        if "scheduler" in settings.parts:
            daemon.start()
        yield
        if "scheduler" in settings.parts:
            await asyncio.to_thread(daemon.stop)

    return lifespan


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind((host, port))
    return listener


def _write_admin_token(parts: Parts) -> None:
    """A fresh cloud's first token, readable by its owner only, shown nowhere else."""
    secret = ensure_admin(parts.deps)
    if secret is None:
        return
    path: Path = parts.settings.home_dir / "admin-token"
    path.touch(mode=0o600)
    path.write_text(secret + "\n", encoding="utf-8")
