"""Each tool of the storm strikes: what passes a way, what a clock shows, a disk, Redis, a lock."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from random import Random

import httpx
import pytest
import redis

from tests.e2e.processes import eventually
from tests.storm import clock
from tests.storm.disk import Disk, may_mount
from tests.storm.proxy import Way, Ways
from tests.storm.redis import Redis

SHORT_S = 0.3


@dataclass
class Heard:
    """What one server heard, and the way to it."""

    way: Way
    bodies: list[bytes] = field(default_factory=list)

    def post(self, body: bytes, timeout_s: float = 5.0) -> int:
        with httpx.Client(trust_env=False, timeout=timeout_s) as client:
            return client.post(self.way.url, content=body).status_code

    def is_unanswered(self, body: bytes) -> bool:
        with pytest.raises(httpx.TimeoutException):
            self.post(body, SHORT_S)
        return True


@pytest.fixture
def heard() -> Iterator[Heard]:
    ways = Ways()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            found.bodies.append(self.rfile.read(int(self.headers["Content-Length"])))
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Not on the terminal."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    found = Heard(ways.open([server.server_port], Random(1)))
    thread.start()
    try:
        yield found
    finally:
        ways.close()
        server.shutdown()
        thread.join()
        server.server_close()


def test_what_is_cut_on_its_way_up_is_never_heard(heard: Heard) -> None:
    heard.way.cut(up=True, down=False)
    assert heard.is_unanswered(b"lost")
    heard.way.heal()
    assert heard.post(b"after") == 200
    assert heard.bodies == [b"after"]


def test_what_is_cut_on_its_way_down_is_heard_and_never_answered(heard: Heard) -> None:
    heard.way.cut(up=False, down=True)
    assert heard.is_unanswered(b"heard")
    assert heard.bodies == [b"heard"]


def test_what_is_delayed_is_so_on_both_ways(heard: Heard) -> None:
    heard.way.delay_s = 0.1
    began = time.monotonic()
    assert heard.post(b"slow") == 200
    assert time.monotonic() - began >= 0.2


def test_what_is_repeated_is_answered_once_and_heard_twice(heard: Heard) -> None:
    heard.way.repeats_within_s = 0.2
    assert heard.post(b"twice") == 200
    eventually(lambda: len(heard.bodies) == 2, "it is heard again", 5)
    assert heard.bodies == [b"twice", b"twice"]


def test_what_is_late_is_heard_once_its_sender_has_given_up(heard: Heard) -> None:
    heard.way.late_by_s = 1.0
    assert heard.is_unanswered(b"late")
    heard.way.heal()
    assert heard.post(b"sooner") == 200
    eventually(lambda: len(heard.bodies) == 2, "it is heard at last", 5)
    assert sorted(heard.bodies) == [b"late", b"sooner"]


def test_a_stepped_clock_moves_the_wall_and_nothing_else(tmp_path: Path) -> None:
    library = clock.build(tmp_path)
    if library is None:
        pytest.skip("no C compiler: the clock of a process cannot be set")
    stepped = clock.a_clock(library, tmp_path / "clock")
    code = (
        "import json, sys, time\nfor _ in sys.stdin: print(json.dumps([time.time(), "
        "time.monotonic(), time.clock_gettime(time.CLOCK_BOOTTIME)]), flush=True)"
    )
    with subprocess.Popen(
        [sys.executable, "-I", "-S", "-c", code],
        env=stepped.env,
        text=True,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as child:
        assert child.stdin is not None
        assert child.stdout is not None
        for offset_s in (3600.0, -7200.0, 0.0):
            stepped.step(offset_s)
            child.stdin.write("\n")
            child.stdin.flush()
            wall, monotonic, boot = json.loads(child.stdout.readline())
            assert wall - time.time() == pytest.approx(offset_s, abs=1.0)
            assert monotonic == pytest.approx(time.monotonic(), abs=1.0)
            assert boot == pytest.approx(time.clock_gettime(time.CLOCK_BOOTTIME), abs=1.0)
        child.stdin.close()


@pytest.mark.skipif(not may_mount(), reason="only root may mount a disk")
def test_a_filled_disk_takes_nothing_more_until_it_is_freed(tmp_path: Path) -> None:
    with closing(Disk(tmp_path / "disk", "1m")) as disk:
        disk.fill()
        with pytest.raises(OSError, match="No space left"):
            (disk.folder / "more").write_bytes(bytes(1 << 16))
        disk.free()
        (disk.folder / "more").write_bytes(bytes(1 << 16))


@pytest.mark.skipif(shutil.which("redis-server") is None, reason="no redis-server here")
def test_redis_is_flushed_frozen_and_killed(tmp_path: Path) -> None:
    with closing(Redis(tmp_path)) as one, redis.from_url(one.url, socket_timeout=1) as client:
        eventually(lambda: _answers(client.ping), "Redis answers", 10)
        client.set("a", "b")
        one.flush()
        assert client.get("a") is None
        one.freeze()
        assert not _answers(client.ping)
        one.thaw()
        eventually(lambda: _answers(client.ping), "it answers again", 10)
        one.kill()
        assert not _answers(client.ping)
        one.start()
        eventually(lambda: _answers(client.ping), "another answers in its place", 10)


def _answers(ask: Callable[[], object]) -> bool:
    try:
        return bool(ask())
    except redis.RedisError:
        return False
