"""What `up` says: of options that come too late, and of a start that failed."""

from __future__ import annotations

from pathlib import Path

from penstock.cli.local.bringup import all_addresses, ignored_by_server
from penstock.cli.local.home import Daemon
from penstock.cli.local.starting import Wish, explain_log

LOG = Path("home/logs/server.log")
TRACEBACK = "started\nTraceback (most recent call last):\n  File 'x.py', line 1\n"


def a_server(*options: str) -> Daemon:
    return Daemon(1, "0", "http://127.0.0.1:8470", "2026-01-01T00:00:00+00:00", list(options))


def test_options_that_a_running_server_cannot_take_are_named_one_by_one() -> None:
    told = ignored_by_server(Wish(host="0.0.0.0", port=9000, auth=False), a_server())
    assert [line.split()[0] for line in told] == ["--port", "--no-auth", "--host"]
    assert all("penstock down" in line for line in told)


def test_options_that_the_server_has_already_are_not_mentioned() -> None:
    assert ignored_by_server(Wish(port=8470, auth=False), a_server("--no-auth")) == []
    assert ignored_by_server(Wish(), a_server("--no-auth")) == []


def test_a_server_on_all_addresses_says_so_and_where_others_reach_it() -> None:
    told = all_addresses("0.0.0.0", "192.0.2.7", a_server())
    assert told == "it listens on all addresses; others reach it at http://192.0.2.7:8470"
    assert "http://[2001:db8::7]:8470" in str(all_addresses("::", "2001:db8::7", a_server()))
    assert "127.0.0.1" not in str(all_addresses("0.0.0.0", "127.0.0.1", a_server()))
    assert all_addresses("127.0.0.1", "127.0.0.1", a_server()) is None


def test_a_damaged_database_is_one_sentence() -> None:
    told = explain_log(TRACEBACK + "sqlite3.DatabaseError: file is not a database\n", LOG)
    assert "penstock.db is damaged" in told
    assert "\n" not in told


def test_of_a_traceback_only_its_error_is_shown() -> None:
    told = explain_log(TRACEBACK + "ValueError: no such key\n", LOG)
    assert told == f"see {LOG}; its last lines:\n    ValueError: no such key"


def test_a_log_without_a_traceback_is_shown_by_its_last_lines() -> None:
    assert explain_log("penstock: cannot listen\n", LOG).endswith("    penstock: cannot listen")
    assert explain_log("", LOG) == f"see {LOG}"
