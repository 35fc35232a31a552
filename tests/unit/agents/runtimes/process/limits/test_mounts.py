"""Which control groups a machine has, from what its kernel writes."""

from __future__ import annotations

from pathlib import PurePosixPath as P

from agents.runtimes.process.limits.mounts import Mount, candidates_v2, parse_mounts, parse_places

HYBRID = """\
31 23 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755
32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw,nosuid shared:9 - cgroup cgroup rw,cpu,cpuacct
35 31 0:32 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory
41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw
"""
UNIFIED = "35 25 0:30 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate\n"
CONTAINER = "700 690 0:30 /kube/pod1 /sys/fs/cgroup ro - cgroup2 cgroup rw\n"


def test_both_versions_side_by_side_are_told_apart() -> None:
    cpu, memory, unified = parse_mounts(HYBRID)
    assert (cpu.version, memory.version, unified.version) == (1, 1, 2)
    assert {"cpu", "cpuacct"} <= cpu.controllers
    assert cpu.path == P("/sys/fs/cgroup/cpu,cpuacct")
    assert unified == Mount(2, P("/sys/fs/cgroup/unified"), P("/"))


def test_other_mounts_and_broken_lines_are_passed_over() -> None:
    assert parse_mounts("1 2 0:1 / /proc rw - proc proc rw\n\nnonsense\n1 2 - cgroup2\n") == ()


def test_a_path_with_blanks_is_read_back() -> None:
    (mount,) = parse_mounts(r"1 2 0:1 / /mnt/control\040groups rw - cgroup2 cgroup2 rw")
    assert mount.path == P("/mnt/control groups")


def test_places_are_found_by_controller() -> None:
    places = parse_places("4:memory:/a\n2:cpu,cpuacct:/b\n0::/system.slice/agent.service\n")
    assert places == {
        "memory": P("/a"),
        "cpu": P("/b"),
        "cpuacct": P("/b"),
        "": P("/system.slice/agent.service"),
    }


def test_the_top_is_tried_before_what_was_delegated_to_us() -> None:
    (mount,) = parse_mounts(UNIFIED)
    places = {"": P("/system.slice/agent.service/main")}
    assert candidates_v2(mount, places) == (
        P("/sys/fs/cgroup"),
        P("/sys/fs/cgroup/system.slice/agent.service"),
        P("/sys/fs/cgroup/system.slice/agent.service/main"),
    )


def test_in_a_container_the_mount_is_our_own_group() -> None:
    (mount,) = parse_mounts(CONTAINER)
    assert candidates_v2(mount, {"": P("/kube/pod1")}) == (P("/sys/fs/cgroup"),)
    assert candidates_v2(mount, {"": P("/elsewhere")}) == (P("/sys/fs/cgroup"),)
