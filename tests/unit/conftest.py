"""Keeps the unit tier pure: no sockets, no sleeps, no processes, no written files."""

from __future__ import annotations

import builtins
import io
import os
import socket
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import pytest

_WRITES = frozenset("wax+")


class NotAUnitTest(AssertionError):
    """A unit test touched the world; it belongs into tests/integration."""


@pytest.fixture(autouse=True)
def _no_world(monkeypatch: pytest.MonkeyPatch) -> None:
    for method in ("connect", "connect_ex", "bind", "listen", "sendto"):
        monkeypatch.setattr(socket.socket, method, _refuse("opens a socket"))
    monkeypatch.setattr(subprocess.Popen, "__init__", _refuse("starts a process"))
    monkeypatch.setattr(time, "sleep", _refuse("sleeps"))
    monkeypatch.setattr(builtins, "open", _reading_only(builtins.open))
    monkeypatch.setattr(io, "open", _reading_only(io.open))
    for name in ("mkdir", "makedirs", "remove", "rename", "replace", "symlink", "unlink"):
        monkeypatch.setattr(os, name, _refuse("changes the file system"))


def _refuse(what: str) -> Callable[..., NoReturn]:
    def refused(*args: object, **kwargs: object) -> NoReturn:
        raise NotAUnitTest(f"a unit test {what}")

    return refused


def _reading_only(real_open: Callable[..., Any]) -> Callable[..., Any]:
    def guarded(file: Any, mode: str = "r", *args: Any, **kwargs: Any) -> Any:
        if _WRITES & set(mode) and not _is_scratch(file):
            raise NotAUnitTest(f"a unit test writes {file}")
        return real_open(file, mode, *args, **kwargs)

    return guarded


def _is_scratch(file: object) -> bool:
    """Open descriptors, the null device, and hypothesis' own notes."""
    if isinstance(file, int):
        return True
    path = Path(os.fsdecode(file)) if isinstance(file, str | bytes | os.PathLike) else Path()
    return path == Path(os.devnull) or ".hypothesis" in path.parts
