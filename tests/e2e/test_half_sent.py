"""Half-sent requests over more connections than a server has descriptors take nothing away."""

from __future__ import annotations

import socket
import subprocess
import time
from contextlib import ExitStack, suppress
from urllib.parse import urlsplit

import pytest

from tests.e2e.laptop import a_laptop
from tests.e2e.rig import PENSTOCK

pytestmark = [pytest.mark.e2e, pytest.mark.slow_safety]

HALF_SENT = 1_200


@pytest.mark.parametrize(
    "sent",
    [b"GET / HTTP/1.1\r\nHost: x\r\nX-Half: ", b"", b"POST /api/v1/agent/enrol HTTP/1.1\r\n"],
)
def test_a_reader_is_answered_at_once_beside_1200_of_them(sent: bytes) -> None:
    with ExitStack() as stack:
        laptop = stack.enter_context(a_laptop())
        subprocess.run(
            [
                "prlimit",
                "--nofile=1024:1024",
                *PENSTOCK,
                "--home",
                str(laptop.home),
                "up",
                "--port",
                "0",
                "--no-agent",
            ],
            check=True,
            capture_output=True,
            timeout=60,
        )
        where = urlsplit(laptop.url)
        client = stack.enter_context(laptop.client)
        waits = []
        for number in range(HALF_SENT):
            with suppress(OSError):
                one = socket.create_connection((where.hostname, where.port), 5)
                stack.enter_context(one)
                one.sendall(sent)
            if number % 50 == 0:
                started = time.monotonic()
                list(client.jobs.list())
                waits.append(time.monotonic() - started)
        assert max(waits) < 2
        assert laptop.record("server").num_fds() < 1024 - 128
        time.sleep(6)
        assert laptop.record("server").num_fds() < 200, "all of them are closed after 5 s"
