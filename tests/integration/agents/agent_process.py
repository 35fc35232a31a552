"""A real agent in a process of its own, against a control plane in memory. For tests only."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from agents.runtimes.process.supervisor import files, processes
from tests.fakes.agent_parts import an_assignment
from tests.fakes.control_plane import FakeControlPlane, served
from tests.integration.agents.supervised import is_alive, wait_for

ROOT = Path(__file__).parents[3]


@dataclass(slots=True)
class Node:
    """One node: its state folder, its control plane, and its agent, which may come and go."""

    state_dir: Path
    fake: FakeControlPlane
    url: str
    process: subprocess.Popen[bytes] | None = None
    output: list[str] = field(default_factory=list)

    def start(self, *options: str, **variables: str) -> None:
        """Starts the agent and waits for its first heartbeat."""
        beats = len(self.fake.heartbeats)
        self.launch(*options, **variables)
        wait_for(lambda: len(self.fake.heartbeats) > beats)

    def launch(self, *options: str, **variables: str) -> None:
        command = [
            sys.executable,
            "-m",
            "agents",
            "--server",
            self.url,
            "--name",
            "node-1",
            "--state-dir",
            str(self.state_dir),
            "--no-cpu-chip",
            *options,
        ]
        inherited = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
        with (self.state_dir.parent / "agent.log").open("ab") as log:
            self.process = subprocess.Popen(
                command, cwd=ROOT, env={**inherited, **variables}, stdout=log, stderr=log
            )

    def said(self) -> str:
        """Everything that agents of this node wrote so far."""
        return (self.state_dir.parent / "agent.log").read_text()

    def send(self, number: int) -> int:
        """Sends the agent a signal; its exit code."""
        assert self.process is not None
        self.process.send_signal(number)
        return self.process.wait(20)

    def run(self, replica_id: str, script: str, **fields: Any) -> None:
        self.fake.assign(an_assignment(replica_id, command=("sh", "-c", script), **fields))

    def started(self, replica_id: str) -> dict[str, Any]:
        folder = self.state_dir / "replicas" / replica_id
        return wait_for(lambda: files.read_json(str(folder), files.STARTED))

    def ended(self, replica_id: str) -> Any:
        """The exit record that the control plane was told."""
        seen = wait_for(lambda: self.fake.exit_of(replica_id))
        return seen.exit

    def prints(self, replica_id: str, text: bytes) -> None:
        """Waits until this has reached the control plane."""
        wait_for(lambda: text in self.fake.logs.get(replica_id, b""))

    def logged(self, replica_id: str, text: bytes) -> None:
        """Waits until the whole log that the control plane has is this."""
        wait_for(lambda: self.fake.logs.get(replica_id) == text)

    def supervisors(self) -> list[int]:
        """Pids of this node's supervisors."""
        mark = str(self.state_dir / "replicas").encode()
        found = []
        for path in Path("/proc").glob("[0-9]*/cmdline"):
            try:
                words = path.read_bytes().split(b"\0")
            except OSError:
                continue
            if any(word.startswith(mark) for word in words):
                found.append(int(path.parent.name))
        return found


@contextmanager
def a_node(folder: Path) -> Iterator[Node]:
    """Ends what the test left running; a supervisor that does not go is a failure."""
    fake = FakeControlPlane()
    with served(fake) as url:
        node = Node(folder / "state", fake, url)
        try:
            yield node
        finally:
            if node.process is not None and node.process.poll() is None:
                node.send(signal.SIGKILL)
            _end_supervisors(node)


def _end_supervisors(node: Node) -> None:
    left = node.supervisors()
    pids = [pid for supervisor in left for pid in processes.descendants(supervisor)]
    for supervisor in left:
        with suppress(ProcessLookupError):
            os.kill(supervisor, signal.SIGTERM)
    wait_for(lambda: not any(map(is_alive, (*left, *pids))), timeout_s=15)
