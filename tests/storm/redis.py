"""A Redis that keeps nothing and can be flushed, killed, frozen and started again."""

from __future__ import annotations

import shutil
import signal
from contextlib import suppress
from pathlib import Path

import redis

from tests.e2e import processes


class Redis:
    """On a free port of loopback, the same after each start."""

    def __init__(self, folder: Path) -> None:
        binary = shutil.which("redis-server")
        assert binary is not None, "no redis-server on this machine"
        self._port = processes.free_port()
        self._folder = folder
        self._command = [
            binary,
            "--port",
            str(self._port),
            "--bind",
            "127.0.0.1",
            "--save",
            "",
            "--appendonly",
            "no",
            "--dir",
            str(folder),
        ]
        self.start()

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self._port}/0"

    def start(self) -> None:
        self._daemon = processes.start(self._command, self._folder / "redis.log", {}, self._folder)

    def flush(self) -> None:
        with suppress(redis.RedisError), redis.Redis(port=self._port, socket_timeout=1) as client:
            client.flushall()

    def freeze(self) -> None:
        self._daemon.child.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self._daemon.child.send_signal(signal.SIGCONT)

    def kill(self) -> None:
        self._daemon.kill()

    def close(self) -> None:
        self.kill()
