"""The processes of one storm: servers, agents behind ways of their own, database, Redis, disks.

Like a service manager it starts again what ended by itself; what a fault ended stays away until
the fault is healed.
"""

from __future__ import annotations

import os
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Final

import httpx
import psutil

from agents.replicas.sockets import agent_id
from tests.e2e import processes
from tests.e2e.processes import Daemon, eventually
from tests.storm import clock
from tests.storm.backing import Postgres
from tests.storm.clock import SteppedClock
from tests.storm.disk import Disk
from tests.storm.plan import NODES, SERVERS
from tests.storm.proxy import Way, Ways
from tests.storm.redis import Redis

ROOT: Final = Path(__file__).parents[2]
OWN_CHIP: Final = {"a": "emulated-mlu370", "b": "emulated-s4000", "c": "emulated-k100"}
"""Beside two of a common type each node has one of a type that no other has."""
BARE: Final = "c"
"""There replicas have neither PID namespace nor user and can signal their supervisors."""
BARELY: Final = {
    "PENSTOCK_AGENT_PID_NAMESPACE": "false", "PENSTOCK_AGENT_PROJECT_USERS": "false",
}  # fmt: skip
COMMON_CHIP: Final = "emulated-910b"
QUICK: Final = {
    "PENSTOCK_SERVER_HEARTBEAT_S": "1", "PENSTOCK_SERVER_SUSPECT_AFTER_S": "5",
    "PENSTOCK_SERVER_LOST_AFTER_S": "10", "PENSTOCK_SERVER_SWEEP_S": "0.5",
    "PENSTOCK_SERVER_LEADER_TTL_S": "3",
}  # fmt: skip
RESTART_S: Final = 2.0
JOIN_TOKEN: Final = "PENSTOCK_AGENT_JOIN_TOKEN"
TOKEN_OVER: Final = b"the join token was not accepted"


@dataclass(slots=True)
class Process:
    """One long-lived process. `wanted`: no fault holds it down."""

    name: str
    command: list[str]
    env: dict[str, str]
    log: Path
    tree: Path
    wanted: bool = True
    daemon: Daemon | None = None
    started_at: float = 0.0

    @property
    def is_alive(self) -> bool:
        return self.daemon is not None and self.daemon.is_alive

    def start(self) -> None:
        self.wanted, self.started_at = True, time.monotonic()
        if not self.is_alive:
            self.daemon = processes.start(self.command, self.log, self.env, self.tree)

    def kill(self) -> None:
        self.wanted = False
        self.signal(signal.SIGCONT)
        self.signal(signal.SIGKILL)
        if self.daemon is not None:
            self.daemon.child.wait(10)

    def signal(self, number: signal.Signals) -> None:
        """To it and to its own workers; replicas' supervisors are not its own."""
        if self.daemon is None or not self.daemon.is_alive:
            return
        with suppress(psutil.NoSuchProcess):
            first = psutil.Process(self.daemon.child.pid)
            group = os.getpgid(first.pid)
            for process in (first, *first.children(recursive=True)):
                with suppress(psutil.NoSuchProcess, ProcessLookupError):
                    if os.getpgid(process.pid) == group:
                        process.send_signal(number)

    def child(self) -> psutil.Process:
        """The one of a server that has a parent. Raises LookupError where it is not there."""
        if self.daemon is not None and self.is_alive:
            group = self.daemon.child.pid
            for child in psutil.Process(group).children():
                if os.getpgid(child.pid) == group:
                    return child
        raise LookupError("it has no parent, or just ended")

    def last_word(self, word: bytes) -> bool:
        """Whether the last line of its log says so."""
        return word in self.log.read_bytes().rstrip().rpartition(b"\n")[2]

    def tend(self) -> None:
        """Starts it again where it ended by itself, not at once."""
        if self.wanted and not self.is_alive and time.monotonic() > self.started_at + RESTART_S:
            self.start()


@dataclass(slots=True)
class Node:
    """One node: its way to the servers, its clock, its folder now, and a copy that may run."""

    name: str
    way: Way
    clock: SteppedClock | None
    disk: Disk | None
    state_dir: Path
    agent: Process
    copy: Process | None = None
    num_folders: int = 1
    state_dirs: list[Path] = field(default_factory=list)


class Cloud:
    """Everything of one storm in one folder."""

    def __init__(self, database: str, seed: int, kinds: tuple[str, ...], tree: Path) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix=f"storm-{seed}-"))
        self.folder.chmod(0o755)
        self.home, self.evidence = self.folder / "home", self.folder / "evidence"
        for path in (self.home, self.evidence):
            path.mkdir()
        self.evidence.chmod(0o777)
        shutil.copy(Path(__file__).with_name("beat.py"), self.folder / "beat.py")
        self._tree, self._random = tree, Random(f"{seed}:ways")
        self._library = clock.build(self.folder) if "clock" in kinds else None
        self.server_clock = self._clock("server")
        self._has_disks = "disk" in kinds
        self.server_disk = Disk(self.home, "96m") if self._has_disks else None
        self.postgres = self.redis = None
        self.servers: dict[str, Process] = {}
        self.nodes: dict[str, Node] = {}
        self._ways = Ways()
        self.ports = {name: processes.free_port() for name in SERVERS[database]}
        self._settings = dict(QUICK)
        if database == "postgresql":
            self.postgres = Postgres(self.server_clock.env if self.server_clock else {})
            self.redis = Redis(self.folder)
            self._settings |= {
                "PENSTOCK_SERVER_DATABASE_URL": self.postgres.url,
                "PENSTOCK_SERVER_REDIS_URL": self.redis.url,
            }

    @property
    def database_url(self) -> str:
        """For reading only."""
        if self.postgres is not None:
            return self.postgres.url
        return f"sqlite:///file:{self.home / 'penstock.db'}?mode=ro&uri=true"

    @property
    def kept(self) -> Path:
        """Where a copy of the folder is once it was closed with `keep`."""
        return self.folder.with_name(self.folder.name + "-kept")

    @property
    def token(self) -> str:
        return (self.home / "admin-token").read_text(encoding="utf-8").strip()

    def start(self) -> None:
        """Servers one after the other, then all agents; returns once all nodes are ready."""
        for name, port in self.ports.items():
            self.servers[name] = self._server(name, port)
            self.servers[name].start()
            eventually(lambda at=port: _is_ready(at), f"server {name} is ready", 60)  # type: ignore[misc]
        for index, name in enumerate(NODES):
            self._add_node(index, name)
        eventually(self.all_nodes_ready, "all nodes are ready", 60, every_s=0.3)

    def any_port(self) -> int:
        """Of a server that is wanted and ready. Raises LookupError where none is."""
        for name, port in self.ports.items():
            if self.servers[name].wanted and _is_ready(port):
                return port
        raise LookupError("no server is ready")

    def all_nodes_ready(self) -> bool:
        try:
            reply = self.ask("GET", "/api/v1/nodes")
        except (LookupError, httpx.HTTPError, OSError):
            return False
        items = reply.json().get("items", [])
        ready = {it["name"] for it in items if it["health"]["state"] == "ready"}
        return ready >= set(NODES)

    def ask(self, method: str, path: str, body: object = None) -> httpx.Response:
        """One request as the administrator, at a server that is ready."""
        url = f"http://127.0.0.1:{self.any_port()}{path}"
        headers = {"Authorization": f"Bearer {self.token}"}
        return httpx.request(
            method, url, json=body, headers=headers, timeout=5.0, trust_env=False
        ).raise_for_status()

    def join_token(self) -> str:
        return str(self.ask("POST", "/api/v1/join-tokens", {}).json()["token"])

    def new_folder(self, node: Node) -> Path:
        """A path for another state folder of this node; nothing is there yet."""
        node.num_folders += 1
        made = node.state_dir.parent / f"state-{node.num_folders}"
        node.state_dirs.append(made)
        return made

    def agent(self, node: Node, state_dir: Path, token: str | None) -> Process:
        """An agent of this node on that folder, not started."""
        first = 21000 + 1000 * NODES.index(node.name)
        emulated = f"{COMMON_CHIP}:2,{OWN_CHIP[node.name]}:1"
        command = [
            sys.executable,
            "-m",
            "agents",
            "--server",
            node.way.url,
            "--name",
            node.name,
            "--state-dir",
            str(state_dir),
            "--no-cpu-chip",
            "--emulate",
            emulated,
        ]
        env = {
            "PENSTOCK_AGENT_FIRST_PORT": str(first), "PENSTOCK_AGENT_LAST_PORT": str(first + 999),
            **({JOIN_TOKEN: token} if token else {}),
            **(BARELY if node.name == BARE else {}),
            **(node.clock.env if node.clock else {}),
        }  # fmt: skip
        log = state_dir.parent / f"{state_dir.name}.log"
        return Process(f"agent {node.name}", command, self._env(env), log, self._tree)

    def tend(self) -> None:
        """An agent whose join token is over, by the server's stepped clock, gets another one."""
        for server in self.servers.values():
            with suppress(OSError):
                server.tend()
        for agent in (it.agent for it in self.nodes.values()):
            with suppress(OSError, LookupError, httpx.HTTPError):
                if not agent.is_alive and JOIN_TOKEN in agent.env and agent.last_word(TOKEN_OVER):
                    agent.env[JOIN_TOKEN] = self.join_token()
                agent.tend()

    def supervisors(self, node: Node) -> list[psutil.Process]:
        """Of the node's present folder."""
        found = [it for folder in node.state_dirs for it in processes.supervisors(folder)]
        return sorted(set(found), key=lambda it: it.pid)

    def close(self, keep: bool) -> None:
        """Ends every process by its pid; removes the folder unless it is to be kept."""
        copies = [it.copy for it in self.nodes.values() if it.copy is not None]
        agents = [it.agent for it in self.nodes.values()]
        for process in (*self.servers.values(), *agents, *copies):
            with suppress(OSError):
                process.kill()
        for _ in range(3):
            processes.end_by_force(processes.of_folder(self.folder))
        self._ways.close()
        for backing in (self.postgres, self.redis):
            if backing is not None:
                backing.close()
        processes.remove_cgroups(
            [agent_id(it) for node in self.nodes.values() for it in node.state_dirs]
        )
        if keep:
            shutil.copytree(self.folder, self.kept, ignore=_sockets, dirs_exist_ok=True)
        for disk in (self.server_disk, *(it.disk for it in self.nodes.values())):
            if disk is not None:
                disk.close()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _clock(self, name: str) -> SteppedClock | None:
        made = self._library
        return None if made is None else clock.a_clock(made, self.folder / f"clock-{name}")

    def _server(self, name: str, port: int) -> Process:
        command = [
            sys.executable,
            "-m",
            "control_plane",
            "serve",
            "--home",
            str(self.home),
            "--port",
            str(port),
        ]
        env = {**self._settings, **(self.server_clock.env if self.server_clock else {})}
        log = self.home / "logs" / f"{name}.log"
        return Process(f"server {name}", command, self._env(env), log, self._tree)

    def _add_node(self, index: int, name: str) -> None:
        folder = self.folder / "nodes" / name
        folder.mkdir(parents=True)
        disk = Disk(folder, "48m") if self._has_disks else None
        state_dir = folder / "state-1"
        way = self._ways.open(list(self.ports.values()), Random(self._random.random() + index))
        placeholder = Process(name, [], {}, folder / "none.log", self._tree, wanted=False)
        node = Node(name, way, self._clock(name), disk, state_dir, placeholder)
        node.state_dirs.append(state_dir)
        node.agent = self.agent(node, state_dir, self.join_token())
        self.nodes[name] = node
        node.agent.start()

    def _env(self, more: Mapping[str, str]) -> dict[str, str]:
        kept = {key: value for key, value in os.environ.items() if not key.startswith("PENSTOCK_")}
        return {**kept, "PYTHONPATH": str(self._tree), "HOME": str(self.folder), **more}


def _is_ready(port: int) -> bool:
    try:
        return (
            httpx.get(f"http://127.0.0.1:{port}/readyz", timeout=2.0, trust_env=False).status_code
            == 200
        )
    except httpx.HTTPError:
        return False


def _sockets(folder: str, names: list[str]) -> list[str]:
    """What cannot be copied."""
    return [
        it
        for it in names
        if not os.path.isdir(os.path.join(folder, it))
        and not os.path.isfile(os.path.join(folder, it))
    ]


def copy_state(source: Path, to: Path) -> None:
    """A copied state folder, as of a cloned machine or a restored backup."""
    shutil.copytree(source, to, ignore=_sockets, symlinks=True)
