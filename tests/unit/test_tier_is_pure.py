"""The guard of the unit tier: what touches the world fails."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.unit.conftest import NotAUnitTest


@pytest.mark.parametrize(
    "touch",
    [
        lambda: _with_a_socket(lambda one: one.connect(("127.0.0.1", 9))),
        lambda: _with_a_socket(lambda one: one.bind(("127.0.0.1", 0))),
        lambda: time.sleep(0),
        lambda: subprocess.run([sys.executable, "-V"], check=True),
        lambda: Path("never-written.txt").write_text("x", encoding="utf-8"),
        lambda: open("never-written.txt", "a"),  # noqa: SIM115 - it must not even open
        lambda: os.mkdir("never-made"),
    ],
    ids=["connect", "bind", "sleep", "process", "write", "append", "mkdir"],
)
def test_touching_the_world_fails(touch: Callable[[], object]) -> None:
    with pytest.raises(NotAUnitTest):
        touch()


def test_reading_a_packaged_table_is_allowed() -> None:
    table = Path(__file__).parents[2] / "penstock/api/vendors.toml"
    assert table.read_text(encoding="utf-8")


def _with_a_socket(use: Callable[[socket.socket], object]) -> None:
    with socket.socket() as one:
        use(one)
