"""A real serving replica as a child process, with an agent's socket that notes what it is told."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import httpx

ROOT = Path(__file__).parents[3]
CHIP = {
    "chip_id": "chip_1", "key": "e0", "vendor": "emulated", "type": "emulated-910b", "index": 0,
    "milli": 1000, "emulated": True, "stands_for": "ascend-910b", "memory_bytes": 2**30,
    "cores_milli": 250,
}  # fmt: skip


@dataclass
class FakeAgent:
    """Answers every line on a unix socket with ok and keeps it."""

    path: Path
    heard: list[dict[str, Any]] = field(default_factory=list)

    def start(self) -> None:
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._listener.bind(str(self.path))
        self._listener.listen()
        threading.Thread(target=self._serve, daemon=True).start()

    def stop(self) -> None:
        self._listener.close()

    def ops(self, name: str) -> list[dict[str, Any]]:
        return [message for message in list(self.heard) if message["op"] == name]

    def _serve(self) -> None:
        try:
            connection, _ = self._listener.accept()
        except OSError:
            return
        with connection, connection.makefile("rw") as lines:
            for line in lines:
                self.heard.append(json.loads(line))
                lines.write('{"ok": true}\n')
                lines.flush()


@dataclass
class Replica:
    """A running `python -m workloads serve`."""

    process: subprocess.Popen[bytes]
    port: int
    output: Path
    agent: FakeAgent

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def client(self) -> httpx.Client:
        return httpx.Client(base_url=self.url, timeout=30)

    def health(self) -> int | None:
        """The status of /health, None while the port is closed."""
        try:
            return httpx.get(f"{self.url}/health", timeout=5).status_code
        except httpx.TransportError:
            return None

    def wait_for(self, what: Callable[[], bool], timeout_s: float = 60) -> None:
        deadline = time.monotonic() + timeout_s
        while not what():
            assert time.monotonic() < deadline, f"never happened; output: {self.log()}"
            assert self.process.poll() is None, f"the replica ended; output: {self.log()}"
            time.sleep(0.02)

    def terminate(self) -> None:
        self.process.send_signal(signal.SIGTERM)

    def exit_code(self, timeout_s: float = 30) -> int:
        return self.process.wait(timeout_s)

    def log(self) -> str:
        return self.output.read_text()

    def metric(self, name: str, **labels: str) -> float:
        """The sum of a metric's samples whose labels match."""
        wanted = [f'{key}="{value}"' for key, value in labels.items()]
        page = httpx.get(f"{self.url}/metrics", timeout=5).text
        lines = [line for line in page.splitlines() if line.startswith(f"{name}{{")]
        return sum(
            float(line.rsplit(" ", 1)[1]) for line in lines if all(item in line for item in wanted)
        )


@contextmanager
def starting(
    folder: Path, work: Mapping[str, Any], port: int | None = None, patch: str = ""
) -> Iterator[Replica]:
    """A replica that was just started, its files in `folder`; killed at the end.

    `patch` is Python that runs in the replica before anything else.
    """
    port = port or _free_port()
    (folder / "work.json").write_text(json.dumps({"engine": "serve", "work": dict(work)}))
    agent = FakeAgent(folder / "agent.sock")
    agent.start()
    with (folder / "output.log").open("wb") as output:
        process = _spawn(folder, port, output, patch)
    replica = Replica(process, port, folder / "output.log", agent)
    try:
        yield replica
    finally:
        process.kill()
        process.wait()
        agent.stop()


@contextmanager
def serving(folder: Path, work: Mapping[str, Any]) -> Iterator[Replica]:
    """A replica that is ready."""
    with starting(folder, work) as replica:
        replica.wait_for(lambda: replica.health() == 200)
        yield replica


def _spawn(folder: Path, port: int, output: IO[bytes], patch: str) -> subprocess.Popen[bytes]:
    env = {
        **os.environ,
        "PENSTOCK_HOST": "127.0.0.1",
        "PENSTOCK_PORT": str(port),
        "PENSTOCK_CHIPS": json.dumps([CHIP]),
        "PENSTOCK_STORAGE": folder.as_uri(),
        "PENSTOCK_WORK": str(folder / "work.json"),
        "PENSTOCK_AGENT_SOCKET": str(folder / "agent.sock"),
        "PENSTOCK_AGENT_TOKEN": "secret",
        "PENSTOCK_REPLICA_ID": "replica_1",
    }
    command = [sys.executable, "-m", "workloads", "serve"]
    if patch:
        run = "import runpy; runpy.run_module('workloads', run_name='__main__')"
        command = [sys.executable, "-c", f"{patch}\n{run}", "serve"]
    return subprocess.Popen(command, cwd=ROOT, env=env, stdout=output, stderr=output)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def stream_events(response: httpx.Response) -> Iterator[dict[str, Any]]:
    """The documents of a server-sent stream; fails unless it ends with [DONE]."""
    for line in response.iter_lines():
        if line == "data: [DONE]":
            return
        if line:
            yield json.loads(line.removeprefix("data: "))
    raise AssertionError("the stream broke off")
