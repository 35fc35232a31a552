"""A home folder and the command, as a stranger has them; ended by force at the end."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil

from agents.replicas.sockets import agent_id
from penstock.client.synchronous import Client
from tests.e2e import processes
from tests.e2e.rig import PENSTOCK, ROOT


@dataclass(frozen=True, slots=True)
class Laptop:
    """One home folder and the command."""

    home: Path

    def penstock(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        kept = {key: value for key, value in os.environ.items() if not key.startswith("PENSTOCK_")}
        return subprocess.run(
            [*PENSTOCK, "--home", str(self.home), *arguments],
            env={**kept, "PYTHONPATH": str(ROOT)},
            cwd=self.home,
            capture_output=True,
            text=True,
            timeout=90,
            check=False,
        )

    def must(self, *arguments: str) -> str:
        done = self.penstock(*arguments)
        assert done.returncode == 0, done.stderr + done.stdout
        return done.stdout

    def record(self, name: str) -> psutil.Process:
        """The process that a record of the home names."""
        text = (self.home / f"{name}.json").read_text(encoding="utf-8")
        return psutil.Process(int(_field(text, "pid")))

    def server(self) -> psutil.Process:
        """The server itself: the child of the one in the record."""
        (child,) = processes.eventually(self.record("server").children, "there is a server")
        return child

    @property
    def url(self) -> str:
        return _field((self.home / "server.json").read_text(encoding="utf-8"), "url")

    @property
    def client(self) -> Client:
        token = (self.home / "admin-token").read_text(encoding="utf-8").strip()
        return Client(self.url, token)

    def everything(self) -> list[psutil.Process]:
        return processes.of_folder(self.home)

    @property
    def agent_id(self) -> str:
        return agent_id(self.home / "agent")


def _field(text: str, name: str) -> str:
    return str(json.loads(text)[name])


@contextmanager
def a_laptop() -> Iterator[Laptop]:
    """A new home; whatever still runs in it at the end is ended."""
    home = Path(tempfile.mkdtemp(prefix="penstock-e2e-"))
    made = Laptop(home)
    try:
        yield made
    finally:
        made.penstock("down")
        processes.end_by_force(made.everything())
        shutil.rmtree(home, ignore_errors=True)
