"""Logging never raises, never waits for long, and says once how much it dropped."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from penstock.last_resort import SafeStream, rendered

pytestmark = pytest.mark.integration


def _full_disk(_folder: Path) -> int:
    return os.open("/dev/full", os.O_WRONLY)


def _closed(_folder: Path) -> int:
    descriptor = os.open(os.devnull, os.O_WRONLY)
    os.close(descriptor)
    return descriptor


def _read_only(_folder: Path) -> int:
    return os.open(os.devnull, os.O_RDONLY)


def _broken_pipe(_folder: Path) -> int:
    read_fd, write_fd = os.pipe()
    os.close(read_fd)
    return write_fd


def _full_pipe(_folder: Path) -> int:
    _, write_fd = os.pipe()
    os.set_blocking(write_fd, False)
    assert 0 < os.write(write_fd, b"x" * (1 << 20)) < 1 << 20
    os.set_blocking(write_fd, True)
    return write_fd


def _closed_socket(_folder: Path) -> int:
    here, there = socket.socketpair()
    there.close()
    return here.detach()


@pytest.mark.parametrize(
    "broken", [_full_disk, _closed, _read_only, _broken_pipe, _full_pipe, _closed_socket]
)
def test_what_cannot_be_written_is_counted_and_costs_no_time(
    broken: Callable[[Path], int], tmp_path: Path
) -> None:
    stream = SafeStream(broken(tmp_path))
    began = time.monotonic()
    for number in range(100):
        stream.write(f"line {number}\nand another\n")
        stream.flush()
    assert stream.dropped == 200
    assert time.monotonic() - began < 1.0, "a reader that is gone is waited for once"


@pytest.fixture
def descriptor(tmp_path: Path) -> Iterator[int]:
    made = os.open(tmp_path / "log", os.O_RDWR | os.O_CREAT | os.O_APPEND)
    yield made
    os.close(made)


def test_once_it_works_again_it_says_how_much_is_missing(descriptor: int) -> None:
    stream = SafeStream(descriptor)
    stream.write("before\n")
    kept = os.dup(descriptor)
    os.dup2(full := _full_disk(Path()), descriptor)
    stream.write("lost 1\nlost 2\n")
    stream.write("lost 3\n")
    os.dup2(kept, descriptor)
    stream.write("after\n")
    stream.write("later\n")
    before, notice, *rest = os.pread(descriptor, 10_000, 0).decode().splitlines()
    assert (before, rest) == ("before", ["after", "later"])
    told = json.loads(notice)
    assert (told["event"], told["count"], told["level"]) == ("log_lines_dropped", 3, "warning")
    assert stream.dropped == 3
    os.close(kept)
    os.close(full)


def test_a_line_that_was_cut_by_a_full_disk_does_not_run_into_the_next(descriptor: int) -> None:
    stream = SafeStream(descriptor)
    stream.write("cut")
    stream.flush()
    kept = os.dup(descriptor)
    os.dup2(full := _full_disk(Path()), descriptor)
    stream.write(" off\n")
    os.dup2(kept, descriptor)
    stream.write("whole\n")
    lines = os.pread(descriptor, 10_000, 0).decode().splitlines()
    assert (lines[0], lines[2]) == ("cut", "whole")
    os.close(kept)
    os.close(full)


def test_text_that_no_encoding_has_is_written_escaped(descriptor: int) -> None:
    stream = SafeStream(descriptor)
    stream.write("lone \ud800 surrogate\n")
    stream.write("x" * 100_000 + "\n")
    text = os.pread(descriptor, 200_000, 0).decode()
    assert text.startswith("lone \\ud800 surrogate\n")
    assert len(text.splitlines()[1]) == 100_000
    assert stream.dropped == 0


class _Unprintable:
    def __repr__(self) -> str:
        raise RuntimeError("no")


@pytest.mark.parametrize("value", [_Unprintable(), {1, 2}, {("a",): 1}, "\ud800"])
def test_an_event_that_cannot_be_rendered_keeps_its_name(value: object) -> None:
    def to_json(_logger: Any, _method: str, event: Any) -> str:
        return json.dumps(event, default=repr)

    line = rendered(to_json)(None, "error", {"event": "it_failed", "value": value})
    assert json.loads(line)["event"] == "it_failed"


PROGRAM = """
import logging, os, socket, sys, threading, warnings
from control_plane.telemetry.logging import configure_logging
import structlog
stream = configure_logging("info")
log = structlog.get_logger()
one = socket.socket()
assert one.fileno() > 2, "a socket has the number of standard error"
log.info("an_event")
try:
    raise ValueError("a fault")
except ValueError:
    log.exception("it_failed")
def dies():
    raise RuntimeError("in a thread")
thread = threading.Thread(target=dies)
thread.start()
thread.join()
logging.getLogger("uvicorn.error").error("of a library")
warnings.warn("careful")
print("careless", file=sys.stderr)
os.write(int(sys.argv[1]), f"alive {stream.dropped}".encode())
"""


@pytest.mark.parametrize("redirect", ["2>/dev/full", "2>&-", "2</dev/null", "2> >(exit)"])
def test_a_server_whose_standard_error_takes_nothing_lives_on(redirect: str) -> None:
    told_r, told_w = os.pipe()
    script = f'exec {sys.executable} -c "$PROGRAM" {told_w} {redirect}'
    done = subprocess.run(
        ["bash", "-c", script],
        pass_fds=[told_w],
        env={**os.environ, "PROGRAM": PROGRAM},
        check=False,
        timeout=30,
    )
    os.close(told_w)
    with open(told_r, encoding="utf-8") as pipe:
        word, _, dropped = pipe.read().partition(" ")
    assert (done.returncode, word) == (0, "alive")
    assert (int(dropped) > 10) is (redirect != "2>&-")
