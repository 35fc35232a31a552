"""Splitting a replica's use over its chips, and the environment that shows it those chips."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from agents.node.chips.base import Dropped, HeldUse, split_use
from penstock.api.assignments import AssignedChip
from penstock.api.ids import ChipId, ReplicaId


def assigned(key: str, cores_milli: int) -> AssignedChip:
    return AssignedChip(
        chip_id=ChipId(f"chip_{key}"),
        key=key,
        vendor="emulated",
        type="emulated-a100",
        index=0,
        milli=1000,
        cores_milli=cores_milli,
    )


def test_a_replica_s_use_is_split_by_the_cores_of_its_chips() -> None:
    use = split_use(ReplicaId("r1"), 3.0, 900, [assigned("fast", 500), assigned("slow", 250)])
    assert use == {
        "fast": HeldUse(ReplicaId("r1"), 2.0, 600),
        "slow": HeldUse(ReplicaId("r1"), 1.0, 300),
    }


def test_unknown_use_stays_unknown() -> None:
    assert split_use(ReplicaId("r1"), None, None, [assigned("a", 1)]) == {
        "a": HeldUse(ReplicaId("r1"), None, None)
    }


def test_a_chip_without_host_cores_has_no_use_of_this_kind() -> None:
    assert split_use(ReplicaId("r1"), 1.0, 1, [assigned("a", 0)]) == {}


@given(st.lists(st.integers(1, 100_000), min_size=1, max_size=20), st.floats(0, 1e6))
def test_the_parts_add_up_to_the_whole(cores: list[int], cpu_s: float) -> None:
    use = split_use(
        ReplicaId("r1"), cpu_s, 0, [assigned(f"k{n}", it) for n, it in enumerate(cores)]
    )
    total = sum(it.cpu_s or 0.0 for it in use.values())
    assert abs(total - cpu_s) <= 1e-6 * max(1.0, cpu_s)


def test_a_drop_reads_as_one_sentence() -> None:
    assert str(Dropped("acme", "GPU 3", "no identity")) == "acme GPU 3: no identity"
    assert str(Dropped("acme", "", "its library is missing")) == "acme: its library is missing"
