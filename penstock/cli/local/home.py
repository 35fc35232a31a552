"""The folder of a local cloud: which files are in it, and what is known of its processes."""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from penstock.cli.failures import CliError, ExitCode
from penstock.cli.local.processes import Process
from penstock.disk_room import obstacle
from penstock.private_files import home_mode, write_private


@dataclass(frozen=True, slots=True)
class Daemon:
    """A background process as its record says. `url` is the server's address, for both."""

    pid: int
    began: str
    url: str
    started_at: str
    command: list[str]
    log_start: int = 0
    """Where in its log this process began, in bytes."""

    @property
    def process(self) -> Process:
        return Process(self.pid, self.began)

    def option(self, name: str) -> str | None:
        """What it was started with."""
        words = self.command
        return words[words.index(name) + 1] if name in words else None


class _Inner:
    """A path in the folder."""

    def __init__(self, *parts: str) -> None:
        self._parts = parts

    def __get__(self, home: Home, owner: object = None) -> Path:
        return home.path.joinpath(*self._parts)


@dataclass(frozen=True, slots=True)
class Home:
    """Paths in the folder. The server owns admin-token, penstock.db and storage."""

    path: Path

    server_file = _Inner("server.json")
    agent_file = _Inner("agent.json")
    agent_dir = _Inner("agent")
    join_token_file = _Inner("agent", "join-token")
    """There from the start of an agent that is to join until it has."""
    admin_token_file = _Inner("admin-token")
    last_url_file = _Inner("last-url")
    closed_file = _Inner("closed-by-down")
    """There while `down` keeps the node of this home closed for new work."""
    _joined_file = _Inner("agent", "joined")

    def full_disks(self) -> Iterator[tuple[Path, str]]:
        """Folders in it whose disk takes no writes, and why; each disk once."""
        seen: set[int] = set()
        for folder in (self.path, self.path / "logs", self.path / "storage", self.agent_dir):
            why = obstacle(folder)
            if why is not None and folder.exists() and folder.stat().st_dev not in seen:
                seen.add(folder.stat().st_dev)
                yield folder, why

    def log(self, name: str) -> Path:
        return self.path / "logs" / f"{name}.log"

    def server(self) -> Daemon | None:
        """The server's record if the process lives."""
        return _living(self.server_file)

    def agent(self) -> Daemon | None:
        """The agent's record if the process lives."""
        return _living(self.agent_file)

    def daemons(self) -> Iterator[tuple[str, Daemon | None, Path]]:
        """Server and agent: the record if the process lives, and the file of the record."""
        yield "server", self.server(), self.server_file
        yield "agent", self.agent(), self.agent_file

    def last_agent(self) -> Daemon | None:
        """The agent's record, whether the process lives or was killed; none after `down`."""
        return _record(self.agent_file)

    def last_url(self) -> str | None:
        """Where the server was last, even after `down`."""
        return _line(self.last_url_file)

    def foreign_cloud(self) -> str | None:
        """The address of the other cloud whose node the agent of this home is; None without."""
        agent, server = self.last_agent(), self.server()
        url = agent.url if agent is not None else _line(self._joined_file)
        return None if url in (self.last_url(), server.url if server else None) else url

    def write_joined(self, url: str) -> None:
        """Notes which cloud the agent joined by hand; forgotten with the agent's folder."""
        write_private(self._joined_file, url + "\n")

    def node_id(self) -> str | None:
        """The id by which the cloud knows the agent of this home; None before it has enrolled."""
        try:
            document: Any = json.loads((self.agent_dir / "node.json").read_text(encoding="utf-8"))
            return str(document["node_id"])
        except (OSError, ValueError, TypeError, KeyError):
            return None

    def write_server(self, daemon: Daemon) -> None:
        """Its record, and its address for the next start."""
        self.write(self.server_file, daemon)
        write_private(self.last_url_file, daemon.url + "\n")

    def write(self, path: Path, daemon: Daemon) -> None:
        write_private(path, json.dumps(asdict(daemon), indent=2) + "\n")

    def admin_token(self) -> str | None:
        try:
            return self.admin_token_file.read_text(encoding="utf-8").strip() or None
        except FileNotFoundError:
            return None

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Only one `up` or `down` at a time. The folder itself is locked: no file is left."""
        descriptor = self._open()
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise CliError(
                "busy",
                f"another `penstock up` or `down` is at work in {self.path}",
                exit_code=ExitCode.FAILED,
            ) from error
        else:
            yield
        finally:
            os.close(descriptor)

    def _open(self) -> int:
        try:
            self.path.mkdir(parents=True, exist_ok=True, mode=home_mode())
            return os.open(self.path, os.O_RDONLY | os.O_DIRECTORY)
        except OSError as error:
            raise CliError(
                "bad_home",
                f"{self.path} cannot be used as home: {(error.strerror or str(error)).lower()}",
                hint="choose another with --home or PENSTOCK_HOME",
            ) from error


def _line(path: Path) -> str | None:
    """What the file says; nothing where it is not there or broken."""
    try:
        return path.read_text(encoding="utf-8").strip() or None
    except (FileNotFoundError, UnicodeDecodeError):
        return None


def _living(path: Path) -> Daemon | None:
    record = _record(path)
    return record if record is not None and record.process.is_alive() else None


def _record(path: Path) -> Daemon | None:
    """What the file says; a broken one is as good as none."""
    try:
        document: Any = json.loads(path.read_text(encoding="utf-8"))
        return Daemon(**document)
    except (FileNotFoundError, ValueError, TypeError):
        return None
