"""What server and agent write is their user's alone; what jobs write is as usual."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from agents.node import identity
from agents.runtimes.process.supervisor import files
from control_plane.services.accounts.tokens import ensure_admin
from control_plane.services.deps import Deps
from penstock.private_files import tighten, write_private
from tests.integration.agents.supervised import Supervised

pytestmark = pytest.mark.integration


def _mode(path: Path) -> int:
    return stat.S_IMODE(path.lstat().st_mode)


def _migrated(home: Path) -> None:
    command = [sys.executable, "-m", "control_plane", "migrate", "--home", str(home)]
    subprocess.run(command, check=True, timeout=60)


def test_a_new_home_is_for_its_owner_alone(tmp_path: Path) -> None:
    home = tmp_path / "home"
    _migrated(home)
    assert _mode(home) == 0o700
    found = {path.name: _mode(path) for path in home.rglob("*") if path.is_file()}
    assert "penstock.db" in found
    assert set(found.values()) == {0o600}


def test_an_older_home_is_tightened_at_the_start(tmp_path: Path) -> None:
    home = tmp_path / "home"
    (home / "logs").mkdir(parents=True, mode=0o755)
    (home / "storage" / "logs").mkdir(parents=True, mode=0o755)
    for name in ("penstock.db", "penstock.db-wal", "admin-token", "logs/server.log"):
        (home / name).touch(mode=0o644)
    home.chmod(0o755)
    _migrated(home)
    folders = {home, home / "logs", home / "storage", home / "storage/logs"}
    assert {_mode(folder) for folder in folders} == {0o700}
    files = [path for path in home.rglob("*") if path.is_file()]
    assert {_mode(path) for path in files} == {0o600}


def test_what_others_may_only_pass_through_stays_so(tmp_path: Path) -> None:
    folder, secret, target = tmp_path / "folder", tmp_path / "secret", tmp_path / "target"
    folder.mkdir()
    folder.chmod(0o711)
    target.touch()
    target.chmod(0o644)
    secret.touch()
    secret.chmod(0o640)
    link = tmp_path / "link"
    link.symlink_to(target)
    tighten(folder, secret, link, tmp_path / "missing")
    assert (_mode(folder), _mode(secret), _mode(target)) == (0o711, 0o600, 0o644)


@pytest.fixture
def strict_umask() -> Iterator[None]:
    before = os.umask(0o077)
    yield
    os.umask(before)


def test_a_job_has_the_usual_umask_whatever_the_agent_has(
    strict_umask: None, tmp_path: Path
) -> None:
    replica = Supervised(tmp_path / "replica", ["sh", "-c", "umask; touch made"], {})
    assert replica.ended().code == 0
    assert replica.log() == b"0022\n"
    assert _mode(tmp_path / "replica" / "made") == 0o644
    assert {_mode(tmp_path / "replica" / name) for name in ("log", "exit.json")} == {0o600}


def test_an_admin_token_that_could_not_be_kept_was_never_made(deps: Deps) -> None:
    def full(_secret: str) -> None:
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space"):
        ensure_admin(deps, keep=full)
    kept: list[str] = []
    assert [ensure_admin(deps, keep=kept.append)] == kept


@pytest.mark.parametrize("what", ["penstock", "supervisor", "credential"])
def test_a_write_that_fails_leaves_the_old_file_and_nothing_beside_it(
    what: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write: dict[str, Callable[[str], None]] = {
        "penstock": lambda text: write_private(tmp_path / "file", text),
        "supervisor": lambda text: files.write_json(str(tmp_path), "file", {"a": text}, True),
        "credential": lambda text: identity._write_secret(tmp_path / "file", text),
    }
    write[what]("old")
    before = (tmp_path / "file").read_bytes()

    def full(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        write[what]("new")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
    assert (tmp_path / "file").read_bytes() == before
