"""What an agent keeps on disk: whole or not at all, and for nobody else to read."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from agents.node import identity
from agents.node.identity import Identity, StateInUse
from agents.replicas import sockets
from agents.replicas.sockets import UnsafeFolder
from penstock.api.ids import NodeId

pytestmark = pytest.mark.integration
NODE = Identity(NodeId("node_1"), "secret-1", 5.0, "https://penstock.example")


def test_a_node_is_the_same_after_a_restart(tmp_path: Path) -> None:
    assert identity.load(tmp_path) is None
    identity.save(tmp_path, NODE)
    assert identity.load(tmp_path) == NODE


def test_a_rotated_credential_takes_the_place_of_the_old_one(tmp_path: Path) -> None:
    identity.save(tmp_path, NODE)
    assert identity.rotated(tmp_path, NODE, "secret-2").credential == "secret-2"
    kept = identity.load(tmp_path)
    assert kept is not None
    assert kept.credential == "secret-2"
    path = tmp_path / identity.CREDENTIAL
    assert path.stat().st_mode & 0o777 == 0o600
    assert not list(tmp_path.glob("*.new"))


def test_a_node_file_without_a_credential_is_no_node(tmp_path: Path) -> None:
    identity.save(tmp_path, NODE)
    (tmp_path / identity.CREDENTIAL).unlink()
    assert identity.load(tmp_path) is None


def test_one_folder_has_one_agent_at_a_time(tmp_path: Path) -> None:
    lock = identity.lock_state(tmp_path)
    with pytest.raises(StateInUse, match="already running"):
        identity.lock_state(tmp_path)
    os.close(lock)
    os.close(identity.lock_state(tmp_path))


def test_a_deep_folder_gets_a_socket_that_the_kernel_can_name(tmp_path: Path) -> None:
    near, deep = tmp_path / "near", tmp_path / ("x" * 120)
    assert sockets.workload_socket(near).parent == near.resolve()
    far = sockets.workload_socket(deep)
    assert len(os.fsencode(far)) <= 100
    assert far == sockets.workload_socket(deep)
    assert far != sockets.workload_socket(tmp_path / ("y" * 120))


def test_a_folder_that_others_may_write_to_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "shared"
    folder.mkdir()
    folder.chmod(0o777)
    with pytest.raises(UnsafeFolder, match="only this user"):
        sockets.prepare(folder / "workload.sock")


def test_a_link_in_the_place_of_the_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "target").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "target")
    with pytest.raises(UnsafeFolder):
        sockets.prepare(tmp_path / "link" / "workload.sock")


def test_an_old_socket_is_cleared_away(tmp_path: Path) -> None:
    path = tmp_path / "run" / "workload.sock"
    sockets.prepare(path)
    path.touch()
    sockets.prepare(path)
    assert not path.exists()
