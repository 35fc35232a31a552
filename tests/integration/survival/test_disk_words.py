"""A full disk is told as a full disk: by the API, by readiness, by the command and its advice."""

from __future__ import annotations

import errno
import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy.exc import OperationalError

from control_plane.errors import Unavailable
from control_plane.services.deps import Deps
from control_plane.services.health.read import readiness
from control_plane.store.database.engine import Database
from control_plane.store.database.faults import disk_fault
from penstock.cli.local.home import Home
from penstock.cli.local.starting import explain_log
from penstock.cli.run import _system_error
from penstock.disk_room import disk_trouble, obstacle
from tests.storm.disk import Disk, may_mount

pytestmark = pytest.mark.integration
mounts = pytest.mark.skipif(not may_mount(), reason="only root may mount a small disk")


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    made = Disk(tmp_path / "disk", "1m")
    yield made
    made.close()


@mounts
def test_a_full_disk_is_seen_and_one_with_room_is_not(disk: Disk) -> None:
    assert obstacle(disk.folder) is None
    disk.fill()
    assert obstacle(disk.folder / "not" / "there") == "is full"
    assert list(Home(disk.folder).full_disks()) == [(disk.folder, "is full")]
    disk.free()
    assert obstacle(disk.folder) is None


@mounts
def test_a_disk_without_inodes_or_that_is_read_only_is_seen(tmp_path: Path) -> None:
    few = Disk(tmp_path / "few", "1m,nr_inodes=2")
    (few.folder / "one").touch()
    read_only = Disk(tmp_path / "ro", "1m,ro")
    try:
        assert obstacle(few.folder) == "has no room for another file (inodes)"
        assert obstacle(read_only.folder) == "is read-only"
    finally:
        few.close()
        read_only.close()


@mounts
def test_a_start_on_a_full_disk_is_explained_even_by_an_empty_log(disk: Disk) -> None:
    (disk.folder / "logs").mkdir()
    disk.fill()
    told = explain_log("", disk.folder / "logs" / "server.log")
    assert (
        told == f"the disk of {disk.folder / 'logs'} is full: make room there, and start it again"
    )


@pytest.mark.parametrize(
    "line",
    [
        "sqlalchemy.exc.OperationalError: (sqlite3.OperationalError) database or disk is full",
        "OSError: [Errno 28] No space left on device: '/srv/penstock/admin-token'",
        "penstock agent: [Errno 122] Disk quota exceeded",
        "OSError: [Errno 30] Read-only file system: '/srv/penstock'",
    ],
)
def test_a_log_that_names_a_full_disk_is_explained(line: str, tmp_path: Path) -> None:
    told = explain_log(f"starting\n{line}\nlater\n", tmp_path / "logs" / "server.log")
    assert told == f"a disk is full: {line}; make room there, and start it again"


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EROFS])
def test_the_command_tells_a_full_disk_as_one(number: int) -> None:
    error = _system_error(OSError(number, os.strerror(number), "/srv/penstock"))
    assert error.document["code"] == "disk_full"
    assert str(error).startswith("the disk of /srv/penstock is ")


def test_another_error_of_the_system_is_no_full_disk() -> None:
    assert _system_error(PermissionError(errno.EACCES, "no", "x")).document["code"] == "system"
    assert disk_trouble(ValueError("x")) is None


class _Told(Exception):
    def __init__(self, sqlstate: str) -> None:
        self.sqlstate = sqlstate


def _sqlite(code: int) -> sqlite3.OperationalError:
    error = sqlite3.OperationalError("told")
    error.sqlite_errorcode = code
    return error


@pytest.mark.parametrize(
    "told,fault",
    [
        (_sqlite(sqlite3.SQLITE_FULL), "is full"),
        (_sqlite(sqlite3.SQLITE_IOERR | 3 << 8), "takes no writes"),
        (_sqlite(sqlite3.SQLITE_READONLY), "takes no writes"),
        (_sqlite(sqlite3.SQLITE_CANTOPEN), "takes no writes"),
        (_sqlite(sqlite3.SQLITE_BUSY), None),
        (_Told("53100"), "is full"),
        (_Told("57P01"), None),
    ],
)
def test_the_database_says_that_its_disk_is_full(told: Exception, fault: str | None) -> None:
    assert disk_fault(OperationalError("INSERT", {}, told)) == fault


def test_a_full_database_is_not_ready_and_says_why(
    deps: Deps, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Database, "disk_obstacle", lambda _self: "is full")
    with pytest.raises(Unavailable, match="not ready: database") as caught:
        readiness(deps)
    assert caught.value.violations[0].message == "takes no writes: its disk is full"
