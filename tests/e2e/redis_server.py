"""A real Redis on a free port, kept nowhere: as empty after every start as after a flush."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
import redis

from tests.e2e import processes
from tests.e2e.processes import Daemon, eventually


@dataclass(slots=True)
class RedisServer:
    """Can be killed and started again on the same port."""

    binary: str
    folder: Path
    port: int
    daemon: Daemon

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def flush(self) -> None:
        with redis.Redis(port=self.port) as client:
            client.flushall()

    def kill(self) -> None:
        self.daemon.kill()

    def start(self) -> None:
        self.daemon = _start(self.binary, self.folder, self.port)


@contextmanager
def a_redis(folder: Path) -> Iterator[RedisServer]:
    """Skips the test where no redis-server is installed."""
    binary = shutil.which("redis-server")
    if binary is None:
        pytest.skip("no redis-server on this machine")
    port = processes.free_port()
    server = RedisServer(binary, folder, port, _start(binary, folder, port))
    try:
        yield server
    finally:
        server.kill()


def _start(binary: str, folder: Path, port: int) -> Daemon:
    command = [
        binary,
        "--port",
        str(port),
        "--bind",
        "127.0.0.1",
        "--save",
        "",
        "--appendonly",
        "no",
        "--dir",
        str(folder),
    ]
    daemon = processes.start(command, folder / "redis.log", {}, folder)
    eventually(lambda: _answers(port), "Redis answers", 10)
    return daemon


def _answers(port: int) -> bool:
    try:
        with redis.Redis(port=port) as client:
            return bool(client.ping())
    except redis.ConnectionError:
        return False
