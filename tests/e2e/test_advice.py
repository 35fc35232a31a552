"""What `up`, `doctor` and errors advise is done here, as a stranger would, and has to help."""

from __future__ import annotations

import shutil
import socket
from collections.abc import Iterator

import pytest

from penstock.cli.config import CONTEXTS_FILE
from tests.e2e.laptop import Laptop, a_laptop
from tests.e2e.processes import end_by_force

UP = ("up", "--emulate", "emulated-a100:1")


@pytest.fixture(scope="module")
def laptop() -> Iterator[Laptop]:
    """It runs before each test, and after it."""
    with a_laptop() as made:
        made.must(*UP)
        yield made


def _damage(laptop: Laptop) -> None:
    database = laptop.home / "penstock.db"
    database.write_bytes(b"\x00 this is no database \xff" * 512)
    failed = laptop.penstock(*UP)
    assert failed.returncode != 0
    assert "put a backup in its place, or move it away for a new start" in failed.stderr


def _works(laptop: Laptop) -> None:
    """Its node takes a job."""
    assert laptop.must("job", "submit", "--follow", "--", "echo", "hello") == "hello\n"


def test_a_backup_in_the_place_of_a_damaged_database(laptop: Laptop) -> None:
    laptop.must("down")
    database, backup = laptop.home / "penstock.db", laptop.home / "backup"
    shutil.copy(database, backup)
    assert not list(laptop.home.glob("penstock.db-*")), "a copy of the one file is a whole backup"
    _damage(laptop)
    backup.replace(database)
    assert "joins anew" not in laptop.must(*UP)
    _works(laptop)


def test_a_damaged_database_moved_away_is_a_new_start_for_the_node_as_well(laptop: Laptop) -> None:
    laptop.must("down")
    _damage(laptop)
    (laptop.home / "penstock.db").rename(laptop.home / "penstock.db.damaged")
    assert "the server does not know this node: it joins anew" in laptop.must(*UP)
    _works(laptop)


def test_a_database_moved_away_under_an_agent_that_runs(laptop: Laptop) -> None:
    end_by_force([laptop.server(), laptop.record("server")])
    for path in laptop.home.glob("penstock.db*"):
        path.rename(path.with_name(f"old-{path.name}"))
    assert "the server does not know this node: it joins anew" in laptop.must(*UP)
    _works(laptop)


def test_the_admin_token_put_back(laptop: Laptop) -> None:
    file = laptop.home / "admin-token"
    right = file.read_text()
    file.write_text("pst_not-the-one\n")
    failed = laptop.penstock(*UP)
    assert failed.returncode != 0
    assert f"this cloud: {file}" in failed.stderr
    assert "put the file back" in failed.stderr
    file.write_text(right)
    laptop.must(*UP)
    _works(laptop)


def test_logging_in_again(laptop: Laptop) -> None:
    token = (laptop.home / "admin-token").read_text().strip()
    laptop.must("login", laptop.url, "--token", token)
    (laptop.home / CONTEXTS_FILE).unlink()
    laptop.must("context", "list")
    doctor = laptop.penstock("--server", laptop.url, "doctor")
    assert "log in again: penstock login URL --token TOKEN" in doctor.stdout
    laptop.must("login", laptop.url, "--token", token)
    assert "admin, admin" in laptop.must("doctor")
    _works(laptop)


def test_another_port(laptop: Laptop) -> None:
    laptop.must("down")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        failed = laptop.penstock(*UP, "--port", str(port))
        assert failed.returncode != 0
        assert "choose another with --port, or leave it out" in failed.stderr
        laptop.must(*UP)
    _works(laptop)
