"""A PostgreSQL that can be killed, frozen and started again, and what its clock shows."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from subprocess import DEVNULL
from typing import Any, Final

import psutil
import psycopg

from tests.e2e.processes import eventually

_DURABLE: Final = "fsync=off", "synchronous_commit=on", "max_connections=120"
"""What was committed is with the operating system: no kill of the processes may lose it."""
_NAME: Final = "penstock"
_SILENT_WRITER: Final = """
    SELECT pid, xact_start FROM pg_stat_activity JOIN pg_locks USING (pid)
    WHERE locktype = 'advisory' AND granted AND state = 'idle in transaction'
"""


def binaries() -> Path | None:
    """Where the newest installed PostgreSQL is."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    return found[-1].parent if found else None


class Postgres:
    """Runs as the user `postgres` where we are root, which it refuses to be."""

    def __init__(self, env: Mapping[str, str]) -> None:
        folder = binaries()
        assert folder is not None, "no PostgreSQL on this machine"
        self._shared = Path(tempfile.mkdtemp(prefix="storm-pg-"))
        self._as_owner: dict[str, Any] = {"cwd": "/", "stderr": DEVNULL, "stdout": DEVNULL}
        if os.geteuid() == 0:
            owner = pwd.getpwnam("postgres")
            os.chown(self._shared, owner.pw_uid, owner.pw_gid)
            self._as_owner |= {"user": owner.pw_uid, "group": owner.pw_gid, "extra_groups": []}
        self._env = {"PATH": os.defpath, **env}
        data = str(self._shared / "d")
        init = (
            str(folder / "initdb"),
            "-D",
            data,
            "-A",
            "trust",
            "-U",
            _NAME,
            "-E",
            "UTF8",
            "--locale",
            "C.UTF-8",
            "--no-sync",
        )
        subprocess.run(init, check=True, env={"PATH": os.defpath}, timeout=120, **self._as_owner)
        self._command = [str(folder / "postgres"), "-D", data, "-k", str(self._shared)]
        self._command += [it for one in ("listen_addresses=", *_DURABLE) for it in ("-c", one)]
        self._process: subprocess.Popen[bytes] | None = None
        self.start()
        eventually(self._answers, "PostgreSQL answers", 60)
        with self._connect("postgres") as connection:
            connection.execute(f"CREATE DATABASE {_NAME}")

    @property
    def url(self) -> str:
        return f"postgresql+psycopg://{_NAME}@/{_NAME}?host={self._shared}"

    def start(self) -> None:
        """Again on the same folder; does not wait until it answers."""
        (self._shared / "d" / "postmaster.pid").unlink(missing_ok=True)
        self._process = subprocess.Popen(
            self._command, env=self._env, start_new_session=True, **self._as_owner
        )

    def kill(self) -> None:
        """SIGKILL to all its processes."""
        self._signal(signal.SIGKILL)
        if self._process is not None:
            self._process.wait(10)

    def freeze(self) -> None:
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self._signal(signal.SIGCONT)

    @contextmanager
    def watched(self) -> Iterator[Callable[[], object]]:
        """Tells which transaction holds the writers' lock and waits for its client, None where
        none. Raises psycopg.OperationalError.
        """
        with self._connect(_NAME) as connection:
            yield lambda: connection.execute(_SILENT_WRITER).fetchone()

    def close(self) -> None:
        self.kill()
        shutil.rmtree(self._shared, ignore_errors=True)

    def _signal(self, number: signal.Signals) -> None:
        """The first process first, so that it starts no new ones meanwhile."""
        if self._process is None or self._process.poll() is not None:
            return
        first = psutil.Process(self._process.pid)
        with suppress(psutil.NoSuchProcess):
            children = first.children(recursive=True)
            for process in (first, *children):
                with suppress(psutil.NoSuchProcess):
                    process.send_signal(number)

    def _answers(self) -> bool:
        try:
            self._connect("postgres").close()
        except psycopg.OperationalError:
            return False
        return True

    def _connect(self, database: str) -> psycopg.Connection[Any]:
        where = f"host={self._shared} user={_NAME} dbname={database}"
        return psycopg.connect(where, autocommit=True, connect_timeout=2)
