"""A cloud of real processes in a folder of its own: a server, and the nodes a test adds.

The server and the agents are those of the checkout, or of another tree. Times are short, but
for leases, whose least TTL is 30 s. Closing a cloud proves that nothing of it is left.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from agents.replicas.sockets import agent_id
from penstock.api.jobs import Job, Replica
from penstock.api.nodes import Node
from penstock.api.states import ENDED, NodeHealth
from penstock.client import routes
from penstock.client.errors import ClientError
from penstock.client.synchronous import Client
from tests.e2e import processes
from tests.e2e.processes import Daemon, eventually

ROOT: Final = Path(__file__).parents[2]
QUICK: Final = {
    "PENSTOCK_SERVER_HEARTBEAT_S": "1", "PENSTOCK_SERVER_SUSPECT_AFTER_S": "5",
    "PENSTOCK_SERVER_LOST_AFTER_S": "10", "PENSTOCK_SERVER_SWEEP_S": "0.5",
    "PENSTOCK_SERVER_LEADER_TTL_S": "3",
}  # fmt: skip
GRACE_S: Final = 30
"""The shortest lease that a job may ask for."""
PENSTOCK: Final = (sys.executable, "-c", "from penstock.cli.main import main; main()")
"""The command, from whatever tree PYTHONPATH names."""
PLACED: Final = ("starting", "running", "stopping")


@dataclass(slots=True)
class NodeProcess:
    """One agent: its folder outlives its process."""

    name: str
    state_dir: Path
    command: Sequence[str]
    env: Mapping[str, str]
    daemon: Daemon

    @property
    def agent_id(self) -> str:
        return agent_id(self.state_dir)

    @property
    def credential(self) -> str:
        return (self.state_dir / "credential").read_text(encoding="utf-8").strip()


@dataclass(slots=True)
class Cloud:
    """`tree` is where the code of server and agents comes from."""

    home: Path
    settings: Mapping[str, str] = field(default_factory=lambda: QUICK)
    tree: Path = ROOT
    port: int = field(default_factory=processes.free_port)
    nodes: dict[str, NodeProcess] = field(default_factory=dict)
    servers: dict[str, Daemon] = field(default_factory=dict)
    _client: Client | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def token(self) -> str:
        return (self.home / "admin-token").read_text(encoding="utf-8").strip()

    @property
    def server(self) -> Daemon:
        return self.servers["server"]

    @property
    def client(self) -> Client:
        if self._client is None:
            self._client = Client(self.url, self.token)
        return self._client

    def start_server(
        self, name: str = "server", port: int | None = None, env: Mapping[str, str] | None = None
    ) -> Daemon:
        """Starts a server process and waits until it is ready."""
        at = port or self.port
        command = [
            sys.executable,
            "-m",
            "control_plane",
            "serve",
            "--home",
            str(self.home),
            "--port",
            str(at),
        ]
        log = self.home / "logs" / f"{name}.log"
        settings = self._environment({**self.settings, **(env or {})})
        self.servers[name] = processes.start(command, log, settings, self.tree)
        with Client(f"http://127.0.0.1:{at}") as probing:
            eventually(
                lambda: _is_ready(probing, self.servers[name]), f"server {name} is ready", 60
            )
        return self.servers[name]

    @contextmanager
    def server_killed(self) -> Iterator[None]:
        """kill -9 of the server; another one is started afterwards."""
        self.server.kill()
        try:
            yield
        finally:
            self.start_server()

    def add_node(self, name: str, emulate: str = "", *options: str, via: str = "") -> NodeProcess:
        """Starts an agent and waits until its node is ready. `via`: another way to the server."""
        state_dir = self.home / name
        command = [
            sys.executable,
            "-m",
            "agents",
            "--server",
            via or self.url,
            "--name",
            name,
            "--state-dir",
            str(state_dir),
            *(["--emulate", emulate] if emulate else []),
            *options,
        ]
        env = self._environment({"PENSTOCK_AGENT_JOIN_TOKEN": self.client.nodes.join_token().token})
        log = self.home / "logs" / f"{name}.log"
        daemon = processes.start(command, log, env, self.tree)
        self.nodes[name] = NodeProcess(name, state_dir, command, env, daemon)
        self.await_node(name, NodeHealth.READY)
        return self.nodes[name]

    def restart_agent(self, name: str) -> None:
        """A new agent process on the old one's folder."""
        node = self.nodes[name]
        node.daemon = processes.start(node.command, node.daemon.log, node.env, self.tree)

    def await_node(self, name: str, health: NodeHealth, within_s: float = 60) -> Node:
        def looked() -> Node | None:
            assert self.nodes[name].daemon.is_alive or health is not NodeHealth.READY
            node = next((it for it in self.client.nodes.list() if it.name == name), None)
            return node if node is not None and node.health.state is health else None

        return eventually(looked, f"node {name} is {health}", within_s)

    def submit(self, type: str = "task", **fields: Any) -> Job:
        """Submits a job; the section that goes with the type may be a command alone."""
        command = fields.pop("command", None)
        section = {"task": {"command": command}} if command is not None else {}
        return self.client.jobs.submit({"type": type, **section, **fields})

    def await_job(self, ref: str, *states: str, within_s: float = 60) -> Job:
        """The job once it is in one of the states; fails at once when it ended in another."""

        def looked() -> Job | None:
            job = self.client.jobs.get(ref)
            if job.state in states:
                return job
            assert job.state not in ENDED, f"{ref} is {job.state}: {job.message}"
            return None

        return eventually(looked, f"job {ref} is {' or '.join(states)}", within_s)

    def replicas(self, ref: str, *states: str) -> list[Replica]:
        """The job's replicas in these states (default: the live ones)."""
        wanted = states or ("assigned", "starting", "running", "stopping")
        return [it for it in self.client.jobs.replicas(ref) if it.state in wanted]

    def whole_log(self, ref: str) -> list[str]:
        """All lines of a job, followed to the end of the job and of its output."""
        with Client(self.url, self.token) as client:
            return [line.text for line in client.jobs.follow_logs(ref)]

    def cli(self, *arguments: str, timeout_s: float = 60) -> subprocess.CompletedProcess[str]:
        """The command of the user, against this cloud."""
        env = self._environment({"PENSTOCK_SERVER": self.url, "PENSTOCK_TOKEN": self.token})
        return subprocess.run(
            [*PENSTOCK, "--home", str(self.home / "client"), *arguments],
            env=env,
            cwd=self.home,
            capture_output=True,
            text=True,
            timeout=timeout_s,
            check=False,
        )

    def tails(self) -> str:
        """The ends of all logs, for a test that failed."""
        daemons = {**self.servers, **{name: node.daemon for name, node in self.nodes.items()}}
        return "\n".join(f"--- {name}\n{daemon.tail()}" for name, daemon in daemons.items())

    def close(self) -> None:
        """Cancels what runs, ends all processes, and asserts that nothing is left of them."""
        if self._client is not None:
            if any(it.is_alive for it in self.servers.values()):
                self._cancel_all()
            self._client.close()
        for daemon in (*(node.daemon for node in self.nodes.values()), *self.servers.values()):
            if daemon.is_alive:
                daemon.end()
        left = processes.still_there(self.home, within_s=2.0)
        named = [processes.title(it) for it in left]
        processes.end_by_force(left)
        groups = processes.cgroups_of([node.agent_id for node in self.nodes.values()])
        assert not named, f"processes are left: {named}"
        assert not groups, f"cgroups are left: {groups}"

    def _cancel_all(self) -> None:
        def placed() -> list[Job]:
            return [job for state in PLACED for job in self.client.jobs.list(state=state)]

        for job in [*self.client.jobs.list(state="queued"), *placed()]:
            if job.state != "stopping":
                _cancel(self.client, job)
        eventually(lambda: not placed(), "all jobs have ended", 40)

    def _environment(self, more: Mapping[str, str]) -> dict[str, str]:
        kept = {key: value for key, value in os.environ.items() if not key.startswith("PENSTOCK_")}
        return {**kept, "PYTHONPATH": str(self.tree), "HOME": str(self.home), **more}


@contextmanager
def a_cloud(start: bool = True, **fields: Any) -> Iterator[Cloud]:
    """A cloud without nodes, its server running if asked to; closed and removed at the end."""
    home = Path(tempfile.mkdtemp(prefix="penstock-e2e-"))  # short: a socket lies in it
    cloud = Cloud(home, **fields)
    try:
        if start:
            cloud.start_server()
        yield cloud
    finally:
        try:
            cloud.close()
        finally:
            processes.end_by_force(processes.of_folder(home))
            processes.remove_cgroups([node.agent_id for node in cloud.nodes.values()])
            shutil.rmtree(home, ignore_errors=True)


def _is_ready(probing: Client, server: Daemon) -> bool:
    assert server.is_alive, f"the server ended: {server.tail()}"
    try:
        probing.http.send(routes.probe("/readyz"))
    except ClientError:
        return False
    return True


def _cancel(client: Client, job: Job) -> None:
    try:
        client.jobs.cancel(job.id)
    except ClientError:
        assert client.jobs.get(job.id).state in ENDED
