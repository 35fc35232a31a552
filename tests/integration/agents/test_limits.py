"""Limits that real processes meet: in this machine's control groups, and without any."""

from __future__ import annotations

import sys
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from agents.runtimes.process.limits.demand import Demand, fallback_cpu, fallback_memory
from agents.runtimes.process.limits.hierarchy import Hierarchy, delegate
from agents.runtimes.process.limits.limiter import Limiter, detect
from penstock.api.ids import ReplicaId
from penstock.api.states import ExitReason
from tests.integration.agents.supervised import Supervised, wait_for

pytestmark = pytest.mark.integration
Start = Callable[..., Supervised]

BURN = "import time\nend = time.monotonic() + {s}\nwhile time.monotonic() < end: pass"
GROW = "import time\nheld = []\nwhile True: held.append(bytearray(8 << 20)); time.sleep(0.01)"


@pytest.fixture
def limiter() -> Iterator[Limiter]:
    found = detect(f"test-{uuid.uuid4().hex[:8]}")
    if not {"cpu", "memory"} <= {name for it in found.hierarchies for name in it.controllers}:
        found.leave()
        pytest.skip("this machine permits no control groups for cpu and memory")
    yield found
    for replica_id in found.strangers(()):
        found.clear(replica_id)
    found.leave()
    assert not [it.top for it in found.hierarchies if it.top.exists()]


def python(source: str) -> tuple[str, ...]:
    return (sys.executable, "-I", "-S", "-c", source)


def throttled(hierarchies: tuple[Hierarchy, ...], replica_id: str) -> tuple[int, int]:
    """(periods, throttled periods) of the group that holds the quota."""
    (cpu,) = (it for it in hierarchies if "cpu" in it.controllers)
    words = (cpu.group(ReplicaId(replica_id)) / "cpu.stat").read_text().split()
    return int(words[words.index("nr_periods") + 1]), int(words[words.index("nr_throttled") + 1])


def test_a_quota_holds_a_busy_replica_to_its_cores(supervised: Start, limiter: Limiter) -> None:
    limits = limiter.make(Demand(ReplicaId("replica_0"), 250, 256 << 20, hard=True))
    one = supervised(*python(BURN.format(s=2)), limits=limits)
    periods, halted = wait_for(
        lambda: seen if (seen := throttled(limiter.hierarchies, "replica_0"))[0] > 50 else None
    )
    record = one.ended()
    assert record.cpu_s is not None
    assert record.wall_s is not None
    assert halted > periods / 2
    assert record.cpu_s / record.wall_s < 0.25 * 1.15


def test_without_a_quota_a_replica_may_use_idle_cores(supervised: Start, limiter: Limiter) -> None:
    limits = limiter.make(Demand(ReplicaId("replica_0"), 100, 256 << 20, hard=False))
    record = supervised(*python(BURN.format(s=1)), limits=limits).ended()
    assert record.cpu_s is not None
    assert record.cpu_s > 0.25


def test_too_much_memory_is_told_apart_from_other_kills(
    supervised: Start, limiter: Limiter
) -> None:
    limits = limiter.make(Demand(ReplicaId("replica_0"), 1000, 64 << 20, hard=False))
    record = supervised(*python(GROW), limits=limits).ended()
    assert record.reason is ExitReason.OUT_OF_MEMORY
    assert "its limit of 64 MiB" in record.message
    assert record.max_memory_bytes is not None
    assert 48 << 20 < record.max_memory_bytes <= 64 << 20


def test_a_group_is_gone_with_its_replica(supervised: Start, limiter: Limiter) -> None:
    limits = limiter.make(Demand(ReplicaId("replica_0"), 500, 64 << 20, hard=True))
    one = supervised("sh", "-c", "(setsid sleep 100 &); sleep 0.2", limits=limits)
    one.ended()
    wait_for(lambda: not any(Path(group).exists() for group in limits["cgroups"]))


def test_use_is_read_while_the_replica_runs(supervised: Start, limiter: Limiter) -> None:
    limits = limiter.make(Demand(ReplicaId("replica_0"), 1000, 256 << 20, hard=False))
    hold = "held = bytearray(50 << 20); " + BURN.format(s=1).replace("\n", "\n", 1)
    one = supervised(*python(hold), limits=limits)
    supervisor = one.started()["supervisor_pid"]
    use = wait_for(
        lambda: (
            it
            if ((it := limiter.use(ReplicaId("replica_0"), supervisor)).cpu_s or 0) > 0.1
            else None
        )
    )
    assert use.memory_bytes is not None
    assert use.memory_bytes > 50 << 20
    one.ended()


def test_in_version_2_a_group_that_others_are_in_is_left_alone(tmp_path: Path) -> None:
    """A stand-in for the kernel's folder: what would be written, not what it would do."""
    (tmp_path / "cgroup.type").write_text("domain\n")
    (tmp_path / "cgroup.procs").write_text("17\n99\n")
    with pytest.raises(OSError, match="other processes are in"):
        delegate(tmp_path, tmp_path / "penstock" / "x", frozenset({"cpu"}), pid=17)
    assert not (tmp_path / "penstock").exists()
    assert not (tmp_path / "penstock-agent").exists()


def test_in_version_2_limits_are_written_to_one_group(tmp_path: Path) -> None:
    top = tmp_path / "penstock" / "x"
    top.mkdir(parents=True)
    hierarchy = Hierarchy(2, tmp_path, top, frozenset({"cpu", "memory", "pids"}))
    group = hierarchy.make(Demand(ReplicaId("replica_0"), 250, 64 << 20, hard=True))
    written = {path.name: path.read_text() for path in group.iterdir()}
    assert written == {
        "cpu.weight": "25",
        "cpu.max": "2500 10000",
        "memory.max": "67108864",
        "memory.swap.max": "0",
        "memory.oom.group": "1",
        "pids.max": "16384",
    }


def test_without_groups_cores_are_held_by_stopping_and_continuing(supervised: Start) -> None:
    limits = fallback_cpu(Demand(ReplicaId("replica_0"), 300, 0, hard=True))
    record = supervised(*python(BURN.format(s=2)), limits=limits).ended()
    assert record.cpu_s is not None
    assert record.wall_s is not None
    assert 0.1 < record.cpu_s / record.wall_s < 0.3 * 1.3


def test_without_groups_a_stopped_replica_still_hears_sigterm(supervised: Start) -> None:
    source = "import signal, sys\nsignal.signal(signal.SIGTERM, lambda *_: sys.exit(7))\n"
    limits = fallback_cpu(Demand(ReplicaId("replica_0"), 50, 0, hard=True))
    one = supervised(*python(source + "print('up', flush=True)\nwhile True: pass"), limits=limits)
    one.prints(b"up\n")
    one.tell("stop 3 stopped 10000 x")
    assert one.ended().code == 7


def test_without_groups_memory_is_watched(supervised: Start) -> None:
    limits = fallback_memory(Demand(ReplicaId("replica_0"), 1000, 64 << 20, hard=False))
    record = supervised(*python(GROW), limits=limits).ended()
    assert record.reason is ExitReason.OUT_OF_MEMORY


def test_without_groups_the_words_say_so() -> None:
    words = Limiter().describe()
    assert "no cgroup permitted" in words["cpu"]
    assert "no cgroup permitted" in words["memory"]
