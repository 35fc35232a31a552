"""One real supervisor with one real replica, driven by hand. For tests only."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from agents.boottime import boottime_ns, seconds_ns
from agents.runtimes.process.orphans import SUPERVISOR
from agents.runtimes.process.supervisor import files
from penstock.api.assignments import ExitRecord

T = TypeVar("T")
TIMEOUT_S = 20.0


class Supervised:
    """Starts at once. `spec` replaces what a supervisor is told; `deadline_s` counts from now."""

    def __init__(self, folder: Path, argv: Sequence[str], spec: Mapping[str, Any]) -> None:
        self.folder = folder
        folder.mkdir(parents=True)
        os.mkfifo(folder / files.CONTROL)
        given = dict(spec)
        document = {
            "replica_id": folder.name, "epoch": 3, "argv": list(argv), "cwd": str(folder),
            "env": {"PATH": os.environ["PATH"]}, "lease_grace_s": 0.5, "stop_grace_s": 2.0,
            "max_duration_s": None, "log_cap_bytes": 1 << 24, "notify": str(folder / "nobody"),
            "deadline_ns": boottime_ns() + seconds_ns(given.pop("deadline_s", 60)),
            "limits": {}, **given,
        }  # fmt: skip
        (folder / files.SPEC).write_text(json.dumps(document))
        subprocess.run(
            [sys.executable, "-I", "-S", "-E", str(SUPERVISOR), str(folder)], check=True, env={}
        )

    def tell(self, line: str) -> None:
        """A line as the agent sends it, once the supervisor listens, unless all is over."""
        control = str(self.folder / files.CONTROL)
        wait_for(lambda: files.send_line(control, line) or self.exit_record() is not None)

    def started(self) -> dict[str, Any]:
        """started.json, once it is there."""
        return wait_for(lambda: files.read_json(str(self.folder), files.STARTED))

    def exit_record(self) -> ExitRecord | None:
        document = files.read_json(str(self.folder), files.EXIT)
        return None if document is None else ExitRecord.model_validate(document)

    def ended(self) -> ExitRecord:
        """The exit record, once it is there."""
        return wait_for(self.exit_record)

    def log(self) -> bytes:
        path = self.folder / files.LOG
        return path.read_bytes() if path.exists() else b""

    def prints(self, text: bytes) -> None:
        """Waits until the replica has printed this."""
        wait_for(lambda: text in self.log())

    def supervisor_pid(self) -> int | None:
        """Null once it is gone."""
        started = files.read_json(str(self.folder), files.STARTED)
        if started is None:
            return None
        alive = files.start_ticks(started["supervisor_pid"]) == started["supervisor_start_ticks"]
        return int(started["supervisor_pid"]) if alive else None


def wait_for(look: Callable[[], T | None], timeout_s: float = TIMEOUT_S) -> T:
    """The first true answer of `look`; fails when there is none in time."""
    end = time.monotonic() + timeout_s
    while not (found := look()):
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.005)
    return found


def is_alive(pid: int) -> bool:
    """Whether the process runs; one that only waits to be reaped does not."""
    return files.start_ticks(pid) is not None
