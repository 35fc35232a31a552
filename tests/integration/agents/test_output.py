"""A replica that writes faster than its log is shipped waits, but not for a shipper that is away.

A real supervisor; the test is the agent that ships, or does not.
"""

from __future__ import annotations

import os
import re
import sys
import time
from collections.abc import Callable

import pytest

from agents.boottime import boottime_ns, seconds_ns
from penstock.api.states import ExitReason
from tests.integration.agents.supervised import Supervised, wait_for

pytestmark = pytest.mark.integration
Start = Callable[..., Supervised]

CAP = 200_000
SLACK = 1 << 16  # one read of the supervisor
TAIL = 256 << 10
MARKER = re.compile(rb"\[penstock: (\d+) bytes of output dropped here: [^\]\n]+\]\n")
LINES = b"".join(b"%d\n" % n for n in range(1, 500_001))
SEQ = "seq 1 500000"  # LINES, 3.4 MB


def sh(script: str) -> tuple[str, ...]:
    return ("sh", "-c", script)


def test_a_writer_faster_than_shipping_waits_and_loses_nothing(supervised: Start) -> None:
    one = supervised(*sh(f"{SEQ}; echo last words; exit 3"), log_cap_bytes=CAP)
    shipped = 0
    while one.exit_record() is None:
        size = len(one.log())
        assert size - shipped <= CAP + 2 * SLACK  # and what the pipe held at the end
        if size > shipped:
            shipped = size
            one.tell(f"shipped {shipped}")
        time.sleep(0.002)
    assert one.ended().code == 3
    assert one.log() == LINES + b"last words\n"


def test_slow_shipping_holds_the_writer_for_longer_than_the_patience(supervised: Start) -> None:
    one = supervised(*sh(f"{SEQ}; echo end"), log_cap_bytes=CAP, log_patience_s=1.5)
    wait_for(lambda: len(one.log()) >= CAP)
    for offset in range(1000, 9000, 1000):
        time.sleep(0.4)
        one.tell(f"shipped {offset}")
    assert one.exit_record() is None
    assert len(one.log()) <= CAP + 9000 + SLACK
    assert one.ended().code == 0  # nothing more is shipped: it is not held up for ever


def test_a_job_whose_log_nobody_ships_goes_on_and_its_newest_output_is_kept(
    supervised: Start,
) -> None:
    began = time.monotonic()
    one = supervised(*sh(f"{SEQ}; echo Traceback; exit 1"), log_cap_bytes=CAP, log_patience_s=1.0)
    assert one.ended().code == 1
    assert time.monotonic() - began > 1.0
    text, written = one.log(), LINES + b"Traceback\n"
    head, num_dropped, tail = MARKER.split(text)
    assert len(tail) == TAIL
    assert written.endswith(tail)
    assert written.startswith(head.removesuffix(b"\n"))
    assert int(num_dropped) + TAIL + len(head) - len(written) in (0, 1)  # a line end before it


def test_shedding_ends_once_shipping_gets_on_again(supervised: Start) -> None:
    script = f"mkfifo go; {SEQ}; echo newest; read x < go; echo later"
    one = supervised(*sh(script), log_cap_bytes=CAP, log_patience_s=0.2)
    wait_for(lambda: (one.folder / "go").exists())
    wait_for(lambda: len(one.log()) >= CAP)
    go = os.open(one.folder / "go", os.O_RDWR)
    time.sleep(2.5)  # the writer gets rid of all of it
    assert MARKER.search(one.log()) is None
    one.tell(f"shipped {len(one.log())}")
    one.prints(b"newest\n")
    one.tell(f"shipped {len(one.log())}")
    os.write(go, b"x\n")
    one.ended()
    os.close(go)
    assert len(MARKER.findall(one.log())) == 1
    assert one.log().endswith(b"\nnewest\nlater\n")


def test_what_fits_beyond_a_full_log_is_kept_without_a_marker(supervised: Start) -> None:
    one = supervised(*sh("seq 1 60000"), log_cap_bytes=CAP, log_patience_s=0.1)
    one.ended()
    assert one.log() == b"".join(b"%d\n" % n for n in range(1, 60_001))


def test_a_deadline_ends_a_replica_whose_output_is_not_read(supervised: Start) -> None:
    began = time.monotonic()
    one = supervised(*sh(f"{SEQ}; sleep 100"), log_cap_bytes=CAP, deadline_s=0.5)
    assert one.ended().reason is ExitReason.LEASE_EXPIRED
    assert time.monotonic() - began < 2.0


def test_renewals_and_usage_work_while_the_output_is_not_read(supervised: Start) -> None:
    one = supervised(*sh(f"{SEQ}; sleep 100"), log_cap_bytes=CAP, deadline_s=1.0)
    wait_for(lambda: len(one.log()) >= CAP)
    one.tell(f"renew 3 {boottime_ns() + seconds_ns(60)}")
    time.sleep(1.5)
    assert one.exit_record() is None
    pid = one.supervisor_pid()
    assert pid is not None
    assert _cpu_s(pid) < 0.5  # it waits, it does not spin
    one.tell("stop 3 stopped 0 x")
    assert one.ended().reason is ExitReason.STOPPED


def test_a_stop_lets_a_writer_that_waits_use_its_grace(supervised: Start) -> None:
    source = (
        "import signal, sys\n"
        "def stop(*_): asked.append(1)\n"
        "asked = []\n"
        "signal.signal(signal.SIGTERM, stop)\n"
        "n = 0\n"
        "while not asked: print(n := n + 1)\n"
        "print('saved'); sys.exit(5)\n"
    )
    one = supervised(sys.executable, "-c", source, log_cap_bytes=CAP)
    wait_for(lambda: len(one.log()) >= CAP)
    one.tell("stop 3 stopped 5000 x")
    record = one.ended()
    assert (record.code, record.reason) == (5, ExitReason.STOPPED)
    assert one.log().endswith(b"\nsaved\n")


def test_the_end_of_a_replica_that_left_a_full_log_is_seen_at_once(supervised: Start) -> None:
    one = supervised(*sh(f"{SEQ} & sleep 0.5; exit 4"), log_cap_bytes=CAP)
    began = time.monotonic()
    assert one.ended().code == 4
    assert time.monotonic() - began < 3.0


def _cpu_s(pid: int) -> float:
    with open(f"/proc/{pid}/stat", "rb") as file:
        fields = file.read().rpartition(b")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
