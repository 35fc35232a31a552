"""What a member takes of its host."""

from __future__ import annotations

from dataclasses import replace

from scheduler.model import HostShare, MemberRequest
from scheduler.snapshot.host import chip_shares, member_share
from tests.builders import GIB, a_pool

NODE = a_pool().node("a", "nvidia-h200", 4, cores=96, memory=512 * GIB).snapshot.nodes[0]
WHOLE = HostShare(24_000, 128 * GIB)


def test_a_device_takes_an_even_part_of_its_node() -> None:
    assert chip_shares(NODE, NODE.chips) == (WHOLE,) * 4


def test_a_processor_takes_the_cores_that_it_is_and_their_memory() -> None:
    cpu = replace(NODE.chips[0], cores_milli=48_000)
    node = replace(NODE, chips=(cpu, *NODE.chips[1:]))
    first, second, *_ = chip_shares(node, node.chips)
    assert first == HostShare(48_000, 256 * GIB)
    assert second == HostShare(32_000, 512 * GIB // 3)


def test_an_emulated_chip_takes_its_own_memory_from_the_host() -> None:
    chip = replace(NODE.chips[0], emulated=True, cores_milli=500, memory_bytes=2 * GIB)
    assert chip_shares(NODE, [chip]) == (HostShare(500, 2 * GIB),)


def test_a_member_takes_the_share_of_all_its_chips() -> None:
    request = MemberRequest(2)
    assert member_share((WHOLE, WHOLE), (0, 1), request) == HostShare(48_000, 256 * GIB)


def test_a_fraction_takes_the_same_fraction_and_never_quite_nothing() -> None:
    assert member_share((WHOLE,), (0,), MemberRequest(1, 250)) == HostShare(6000, 32 * GIB)
    tiny = member_share((HostShare(125, GIB),), (0,), MemberRequest(1, 1))
    assert tiny.cores_milli == 1


def test_what_is_asked_for_goes_before_the_share() -> None:
    request = MemberRequest(1, cores_milli=500, host_memory_bytes=GIB)
    assert member_share((WHOLE,), (0,), request) == HostShare(500, GIB)


def test_a_member_without_chips_takes_one_core_and_one_gibibyte() -> None:
    assert member_share((), (), MemberRequest()) == HostShare(1000, GIB)
    assert member_share((), (), MemberRequest(cores_milli=250)) == HostShare(250, GIB)
