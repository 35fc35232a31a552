"""Starts the ranks of a training job as real processes, the way an agent does. For tests only."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent


@dataclass(frozen=True, slots=True)
class Seat:
    """One rank's chip: its type and, where it is limited, its cgroups and link."""

    chip_type: str = "cpu"
    cores_milli: int = 1000
    link_bytes_per_s: float | None = None
    cgroups: tuple[Path, ...] = ()


@dataclass(slots=True)
class Gang:
    """Running ranks and their logs."""

    folder: Path
    epoch: int
    processes: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def wait(self, timeout_s: float = 120.0) -> list[int]:
        """Exit codes by rank; raises subprocess.TimeoutExpired."""
        until_s = time.monotonic() + timeout_s
        return [process.wait(max(0.1, until_s - time.monotonic())) for process in self.processes]

    def kill(self, rank: int, number: signal.Signals = signal.SIGKILL) -> None:
        self.processes[rank].send_signal(number)

    def log(self, rank: int) -> str:
        return log_path(self.folder, self.epoch, rank).read_text(encoding="utf-8")

    def logs(self) -> str:
        return "\n".join(
            f"--- rank {rank}\n{self.log(rank)}" for rank in range(len(self.processes))
        )

    def curve(self) -> list[dict[str, Any]]:
        """The attempt's loss curve so far."""
        path = self.folder / f"losses-e{self.epoch}.jsonl"
        return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


@contextlib.contextmanager
def running_gang(
    folder: Path,
    work: Mapping[str, Any],
    seats: Sequence[Seat],
    epoch: int = 1,
    agent_socket: Path | None = None,
    cache: Path | None = None,
) -> Iterator[Gang]:
    """A gang whose job folder is `folder`; whatever still runs at the end is killed."""
    gang = Gang(folder, epoch)
    folder.mkdir(parents=True, exist_ok=True)
    work_path = folder / f"work-e{epoch}.json"
    work_path.write_text(json.dumps({"engine": "train", "work": dict(work)}))
    port = free_port()
    try:
        for rank, seat in enumerate(seats):
            env = _environment(folder, work_path, port, rank, len(seats), epoch, seat)
            env |= {"PENSTOCK_CACHE_DIR": str(cache or folder / "cache")}
            env |= {"PENSTOCK_AGENT_SOCKET": str(agent_socket)} if agent_socket else {}
            gang.processes.append(_start(env, seat, log_path(folder, epoch, rank)))
        yield gang
    finally:
        for process in gang.processes:
            process.kill()
            process.wait()


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def log_path(folder: Path, epoch: int, rank: int) -> Path:
    return folder / f"log-e{epoch}-r{rank}.txt"


def _environment(
    folder: Path, work_path: Path, port: int, rank: int, world: int, epoch: int, seat: Seat
) -> dict[str, str]:
    chip = {
        "chip_id": f"chip_{rank:032x}", "key": str(rank), "vendor": "emulated",
        "type": seat.chip_type, "index": rank, "milli": 1000, "emulated": seat.chip_type != "cpu",
        "cores_milli": seat.cores_milli, "link_bytes_per_s": seat.link_bytes_per_s,
    }  # fmt: skip
    return {
        "PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1",
        "PENSTOCK_JOB_ID": f"job_{7:032x}", "PENSTOCK_REPLICA_ID": f"replica_{rank:032x}",
        "PENSTOCK_EPOCH": str(epoch), "RANK": str(rank), "WORLD_SIZE": str(world),
        "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "PENSTOCK_HOST": "127.0.0.1",
        "PENSTOCK_PORT": str(port if rank == 0 else 0), "PENSTOCK_CHIPS": json.dumps([chip]),
        "PENSTOCK_STORAGE": folder.as_uri(), "PENSTOCK_AGENT_TOKEN": f"secret-{rank}",
        "PENSTOCK_WORK": str(work_path),
    }  # fmt: skip


def _start(env: dict[str, str], seat: Seat, log: Path) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "workloads", "train"]
    for cgroup in seat.cgroups:
        script = 'echo $$ > "$0" && exec "$@"'
        command = ["/bin/sh", "-c", script, str(cgroup / "cgroup.procs"), *command]
    with log.open("wb") as output:
        return subprocess.Popen(
            command, env=env, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT
        )
