"""The node agent's process: reads settings, builds the parts, runs the loops until a signal."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import ssl
import sys
import uuid
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from random import Random
from typing import Final

import httpx
import structlog
from pydantic import ValidationError

from agents.agent import Agent
from agents.assembly import build
from agents.client import KEEPALIVE_S, ControlPlane, Superseded
from agents.node.enrol import CannotJoin, check_transport
from agents.node.identity import StateInUse, lock_state
from agents.replicas.sockets import UnsafeFolder
from agents.settings import Settings, read_settings
from penstock.documents.sentences import sentence
from penstock.last_resort import SafeStream, install, rendered
from penstock.private_files import tighten, write_umask

log = structlog.get_logger()

USAGE_CODE: Final = 2
CANNOT_RUN_CODE: Final = 1


def main(argv: Sequence[str]) -> int:
    """Runs until SIGTERM or SIGINT. 2: settings are wrong; 1: this node cannot run an agent."""
    try:
        settings = read_settings(argv)
    except ValidationError as error:
        for problem in error.errors():
            where = ".".join(str(part) for part in problem["loc"])
            sys.stderr.write(f"penstock agent: {where}: {sentence(problem)}\n")
        return USAGE_CODE
    write_umask()
    stream = _configure_logging()
    try:
        asyncio.run(_run(settings, stream))
    except (CannotJoin, Superseded, StateInUse, UnsafeFolder, OSError) as error:
        sys.stderr.write(f"penstock agent: {error}\n")
        return CANNOT_RUN_CODE
    return 0


async def _run(settings: Settings, stream: SafeStream) -> None:
    check_transport(settings.server, settings.insecure)
    lock = lock_state(settings.state_dir)
    tighten(settings.state_dir, *settings.state_dir.glob("*"))
    try:
        async with _http(settings) as http, httpx.AsyncClient(trust_env=False) as probing:
            random = Random(uuid.uuid4().int)
            agent = build(settings, ControlPlane(http), probing, random)
            agent.metrics_feed.exporter.dropped_log_lines = lambda: stream.dropped
            await _until_told(agent, settings)
    finally:
        os.close(lock)


async def _until_told(agent: Agent, settings: Settings) -> None:
    signalled = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, signalled.set)
    joining = asyncio.create_task(agent.join())
    waiting = asyncio.create_task(signalled.wait())
    try:
        await asyncio.wait({joining, waiting}, return_when=asyncio.FIRST_COMPLETED)
        if joining.done():
            joining.result()
            async with agent.running() as lost:
                agent.export()
                log.info("agent_ready", node=settings.name, server=settings.server)
                await asyncio.wait({waiting, lost}, return_when=asyncio.FIRST_COMPLETED)
                if lost.done():
                    if isinstance(lost.exception(), Superseded):
                        await agent.give_up()
                    lost.result()
                log.info("agent_ending", drains=settings.drain_on_exit)
                if settings.drain_on_exit:
                    await agent.drain()
    finally:
        for task in (joining, waiting):
            task.cancel()
            with suppress(asyncio.CancelledError, CannotJoin):
                await task
        agent.close()


@asynccontextmanager
async def _http(settings: Settings) -> AsyncIterator[httpx.AsyncClient]:
    limits = httpx.Limits(keepalive_expiry=KEEPALIVE_S)
    verify = _trust(settings.ca_file)
    async with httpx.AsyncClient(
        base_url=settings.server.rstrip("/"), limits=limits, verify=verify, trust_env=False
    ) as http:
        yield http


def _trust(ca_file: Path | None) -> ssl.SSLContext | bool:
    """Only the pinned CA where there is one. Raises OSError when its file cannot be read."""
    return True if ca_file is None else ssl.create_default_context(cafile=str(ca_file))


def _configure_logging() -> SafeStream:
    """Like the control plane's; the libraries' warnings go to the same stream."""
    stream = install()
    logging.basicConfig(stream=stream, level=logging.WARNING, format="%(message)s")
    structlog.configure(
        processors=[
            rendered(
                structlog.contextvars.merge_contextvars,
                structlog.processors.add_log_level,
                structlog.processors.TimeStamper(fmt="iso", utc=True),
                structlog.processors.format_exc_info,
                structlog.processors.JSONRenderer(),
            )
        ],
        logger_factory=structlog.WriteLoggerFactory(sys.stderr),
    )
    return stream
