"""A real supervisor with no agent at all: how replicas end, and that nothing of them is left."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable

import pytest

from penstock.api.states import ExitReason
from tests.integration.agents.supervised import Supervised, is_alive, wait_for

pytestmark = pytest.mark.integration
Start = Callable[..., Supervised]


def sh(script: str) -> tuple[str, ...]:
    return ("sh", "-c", script)


@pytest.mark.parametrize(
    "script,code,reason",
    [
        ("true", 0, ExitReason.COMPLETED),
        ("exit 3", 3, ExitReason.ERROR),
        ("kill -SEGV $$", 139, ExitReason.ERROR),
        ("kill -KILL $$", 137, ExitReason.KILLED),
    ],
)
def test_each_end_has_its_code_and_reason(
    supervised: Start, script: str, code: int, reason: ExitReason
) -> None:
    record = supervised(*sh(script)).ended()
    assert (record.code, record.reason) == (code, reason)
    assert record.wall_s is not None
    assert record.cpu_s is not None


def test_a_command_that_is_not_there_says_so(supervised: Start) -> None:
    record = supervised("no-such-command", "x").ended()
    assert (record.code, record.reason) == (127, ExitReason.START_FAILED)
    assert "no-such-command" in record.message


def test_a_work_folder_that_is_not_there_says_so(supervised: Start) -> None:
    record = supervised("true", cwd="/no/such/folder").ended()
    assert record.reason is ExitReason.START_FAILED
    assert "/no/such/folder" in record.message


def test_a_file_that_is_not_executable_says_so(supervised: Start) -> None:
    record = supervised("/etc/hostname").ended()
    assert (record.code, record.reason) == (126, ExitReason.START_FAILED)


def test_both_outputs_come_in_one_log_without_a_gap(supervised: Start) -> None:
    one = supervised(*sh("seq 1 60000; seq 60001 120000 >&2"))
    assert one.ended().code == 0
    assert one.log() == b"".join(b"%d\n" % n for n in range(1, 120001))


def test_what_is_shipped_gives_its_disk_space_back(supervised: Start) -> None:
    one = supervised(*sh("head -c 20000000 /dev/zero; echo end; sleep 100"), log_cap_bytes=1 << 25)
    one.prints(b"end\n")
    log = one.folder / "log"
    before = log.stat()
    one.tell("shipped 20000000")
    wait_for(lambda: log.stat().st_blocks < before.st_blocks / 2)
    assert log.stat().st_size == before.st_size
    one.tell("stop 3 stopped 0 x")
    one.ended()
    assert one.log().endswith(b"end\n")


def test_arguments_in_any_language_arrive_as_they_are(supervised: Start) -> None:
    one = supervised("echo", "Größe 芯片")
    one.ended()
    assert one.log().decode() == "Größe 芯片\n"


def test_a_replica_is_ended_before_its_supervisor_when_memory_ends(supervised: Start) -> None:
    one = supervised("cat", "/proc/self/oom_score_adj")
    one.ended()
    assert one.log() == b"500\n"


def test_usage_counts_the_children_too(supervised: Start) -> None:
    burn = f"{sys.executable} -c 'import time\nwhile time.process_time() < 0.3: pass'"
    record = supervised(*sh(f"{burn}; {burn}")).ended()
    assert record.cpu_s is not None
    assert record.cpu_s >= 0.6
    assert record.max_memory_bytes is not None
    assert record.max_memory_bytes > 1 << 20


def test_the_end_of_the_first_process_ends_all_others(supervised: Start) -> None:
    script = "sleep 100 & (setsid sleep 100 &) ; (setsid sh -c 'sleep 100 & sleep 100' &) ; echo up"
    one = supervised(*sh(script))
    record = one.ended()
    assert (record.code, record.reason) == (0, ExitReason.COMPLETED)
    assert one.log() == b"up\n"


def test_a_deadline_that_passes_without_an_agent_ends_the_replica(supervised: Start) -> None:
    began = time.monotonic()
    one = supervised("sleep", "100", deadline_s=0.5)
    record = one.ended()
    assert record.reason is ExitReason.LEASE_EXPIRED
    assert 0.4 < time.monotonic() - began < 1.5


def test_a_replica_that_ignores_sigterm_does_not_outlive_the_margin(supervised: Start) -> None:
    began = time.monotonic()
    one = supervised(*sh("trap '' TERM; while true; do sleep 1; done"), deadline_s=0.5)
    record = one.ended()
    assert (record.signal, record.reason) == (9, ExitReason.LEASE_EXPIRED)
    assert 0.9 < time.monotonic() - began < 2.0


def test_a_deadline_that_passed_before_the_start_starts_nothing(supervised: Start) -> None:
    one = supervised(*sh("echo ran"), deadline_s=-1)
    assert one.ended().reason is ExitReason.LEASE_EXPIRED
    assert one.log() == b""


def test_renewals_move_the_deadline_on_and_never_back(supervised: Start) -> None:
    one = supervised("sleep", "1.2", deadline_s=0.6)
    far = time.clock_gettime_ns(time.CLOCK_BOOTTIME) + 60 * 10**9
    one.tell(f"renew 3 {far}")
    one.tell("renew 3 1")
    one.tell("nonsense\nrenew 3\nrenew 3 x\nstop 3\n")
    assert one.ended().reason is ExitReason.COMPLETED


def test_orders_of_another_epoch_change_nothing(supervised: Start) -> None:
    one = supervised("sleep", "1", deadline_s=0.4)
    one.tell(f"renew 2 {2**62}")
    one.tell("stop 4 stopped 0 x")
    assert one.ended().reason is ExitReason.LEASE_EXPIRED


def test_a_stop_gives_the_replica_its_grace(supervised: Start) -> None:
    one = supervised(
        *sh("trap 'echo saving; sleep 0.3; echo saved; exit 0' TERM; echo up; sleep 9 & wait")
    )
    one.prints(b"up\n")
    one.tell("stop 3 stopped 5000 asked by the user")
    record = one.ended()
    assert (record.reason, record.message) == (ExitReason.STOPPED, "asked by the user")
    assert one.log() == b"up\nsaving\nsaved\n"


def test_after_a_stop_children_may_finish_what_they_do(supervised: Start) -> None:
    worker = "trap 'sleep 0.3; echo saved; exit' TERM; echo up; while true; do sleep 0.05; done"
    one = supervised(*sh(f'sh -c "{worker}" & wait'))
    one.prints(b"up\n")
    one.tell("stop 3 stopped 5000 x")
    one.ended()
    assert one.log().endswith(b"saved\n")


def test_a_second_order_can_only_hurry(supervised: Start) -> None:
    one = supervised(*sh("trap '' TERM; echo up; while true; do sleep 1; done"))
    one.prints(b"up\n")
    one.tell("stop 3 timeout 60000 first")
    one.tell("stop 3 stopped 100 second")
    record = one.ended()
    assert (record.reason, record.message) == (ExitReason.TIMEOUT, "first")


def test_a_replica_may_run_no_longer_than_its_job_allows(supervised: Start) -> None:
    record = supervised("sleep", "100", max_duration_s=0.3).ended()
    assert record.reason is ExitReason.TIMEOUT
    assert "0.3 s" in record.message


def test_a_killed_supervisor_takes_its_replica_along(supervised: Start) -> None:
    one = supervised(*sh("echo up; exec sleep 100"))
    one.prints(b"up\n")
    started = one.started()
    os.kill(started["supervisor_pid"], signal.SIGKILL)
    wait_for(lambda: not is_alive(started["pid"]))
    assert one.exit_record() is None


def test_a_terminated_supervisor_ends_its_replica_and_says_so(supervised: Start) -> None:
    one = supervised(*sh("echo up; exec sleep 100"))
    one.prints(b"up\n")
    os.kill(one.started()["supervisor_pid"], signal.SIGTERM)
    assert one.ended().reason is ExitReason.KILLED


def test_a_replica_never_runs_twice_in_one_folder(supervised: Start) -> None:
    one = supervised(*sh("echo ran"))
    one.ended()
    from agents.runtimes.process.supervisor.main import main

    main(str(one.folder), None)
    assert one.log() == b"ran\n"


def test_a_supervisor_is_small(supervised: Start) -> None:
    one = supervised("sleep", "5")
    status = f"/proc/{one.started()['supervisor_pid']}/status"
    with open(status, encoding="ascii") as file:
        rss_kib = next(int(line.split()[1]) for line in file if line.startswith("VmRSS"))
    one.tell("stop 3 stopped 0 x")
    one.ended()
    assert rss_kib < 16 << 10
