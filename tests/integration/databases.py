"""Databases for tests: SQLite files, and a real PostgreSQL from the system or from pgserver.

The schema is made once per run; every test gets a copy of its own.
"""

from __future__ import annotations

import ctypes
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from subprocess import DEVNULL
from typing import Any

import psycopg
import pytest
from psycopg import sql

from control_plane.store.database.engine import open_database
from control_plane.store.database.migrate import migrate

TEMPLATE = "penstock_template"
_PR_SET_PDEATHSIG = 1
_FAST = "fsync=off", "synchronous_commit=off", "full_page_writes=off", "max_connections=300"


class PostgresServer:
    """A running server with a migrated template database."""

    def __init__(self, folder: str, user: str) -> None:
        self._folder = folder
        self._user = user

    def url(self, database: str) -> str:
        return f"postgresql+psycopg://{self._user}@/{database}?host={self._folder}"

    def make_template(self) -> None:
        self._admin(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(TEMPLATE)))
        database = open_database(self.url(TEMPLATE))
        migrate(database)
        database.dispose()

    @contextmanager
    def copy(self) -> Iterator[str]:
        """The URL of a fresh database, dropped afterwards."""
        name = f"test_{uuid.uuid4().hex[:12]}"
        made = sql.SQL("CREATE DATABASE {} TEMPLATE {}")
        self._admin(made.format(sql.Identifier(name), sql.Identifier(TEMPLATE)))
        yield self.url(name)
        self._admin(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))

    def _admin(self, statement: sql.Composed) -> None:
        with psycopg.connect(
            host=self._folder, user=self._user, dbname="postgres", autocommit=True
        ) as connection:
            connection.execute(statement)


@contextmanager
def postgres(folder: Path) -> Iterator[PostgresServer]:
    """The system's PostgreSQL where there is one, else pgserver's; skips where neither is."""
    binaries = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    runner = _system(binaries[-1].parent, folder) if binaries and _may_run() else _bundled(folder)
    with runner as server:
        server.make_template()
        yield server


@contextmanager
def _system(binaries: Path, folder: Path) -> Iterator[PostgresServer]:
    """PostgreSQL refuses to run as root: then it runs as the user `postgres`, on a socket."""
    owner = pwd.getpwnam("postgres") if os.geteuid() == 0 else None
    shared = Path(tempfile.mkdtemp(prefix="pg-"))  # short: the path of a socket is bounded
    if owner is not None:
        os.chown(shared, owner.pw_uid, owner.pw_gid)
    data = shared / "d"
    as_owner: dict[str, Any] = {"cwd": "/", "env": {"PATH": os.defpath}, "stderr": DEVNULL}
    if owner is not None:
        as_owner |= {"user": owner.pw_uid, "group": owner.pw_gid, "extra_groups": []}
    init = (
        str(binaries / "initdb"),
        "-D",
        str(data),
        "-A",
        "trust",
        "-U",
        "penstock",
        "-E",
        "UTF8",
        "--locale",
        "C.UTF-8",
        "--no-sync",
    )
    start = [str(binaries / "postgres"), "-D", str(data), "-k", str(shared)]
    start += [part for one in ("listen_addresses=", *_FAST) for part in ("-c", one)]
    try:
        subprocess.run(init, check=True, stdout=DEVNULL, timeout=60, **as_owner)
        with subprocess.Popen(
            start,
            preexec_fn=_end_with_parent,  # noqa: PLW1509 - one system call, no lock is taken
            **as_owner,
        ) as process:
            try:
                _wait_until_ready(str(shared))
                yield PostgresServer(str(shared), "penstock")
            finally:
                process.send_signal(signal.SIGINT)  # a fast shutdown
                process.wait(30)
    finally:
        shutil.rmtree(shared, ignore_errors=True)


def _end_with_parent() -> None:
    """In the child: even a test run that is killed leaves no server behind."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGQUIT)


def _wait_until_ready(folder: str) -> None:
    for _ in range(200):
        try:
            psycopg.connect(host=folder, user="penstock", dbname="postgres").close()
        except psycopg.OperationalError:
            time.sleep(0.05)
        else:
            return
    raise TimeoutError("PostgreSQL did not start within ten seconds")


@contextmanager
def _bundled(folder: Path) -> Iterator[PostgresServer]:
    pgserver = pytest.importorskip("pgserver", reason="no PostgreSQL: neither apt's nor pgserver")
    server = pgserver.get_server(folder)
    try:
        yield PostgresServer(server.get_postmaster_info().socket_dir, "postgres")
    finally:
        server.cleanup()


def _may_run() -> bool:
    """Root needs a user to step down to."""
    if os.geteuid() != 0:
        return True
    return any(entry.pw_name == "postgres" for entry in pwd.getpwall())
