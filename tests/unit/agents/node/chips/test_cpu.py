"""What a processor's name, flags and clock ticks are turned into."""

from __future__ import annotations

import pytest

from agents.node.chips.cpu import dtypes, type_name, utilization


@pytest.mark.parametrize(
    "model,name",
    [
        ("Intel(R) Xeon(R) Platinum 8481C CPU @ 2.70GHz", "cpu-intel-xeon-platinum-8481c"),
        ("Intel(R) Xeon(R) Processor", "cpu-intel-xeon"),
        ("AMD EPYC 7B13 64-Core Processor", "cpu-amd-epyc-7b13"),
        ("0x48 0xd01", "cpu-0x48-0xd01"),
        ("", "cpu"),
    ],
)
def test_a_processor_s_type_is_its_name_without_marks(model: str, name: str) -> None:
    assert type_name(model) == name


def test_a_processor_has_the_formats_that_it_computes_in() -> None:
    assert dtypes(frozenset({"sse2"})) == ("fp64", "fp32")
    assert dtypes(frozenset({"amx_bf16", "avx512_fp16", "avx_vnni"})) == (
        "fp64",
        "fp32",
        "bf16",
        "fp16",
        "int8",
    )


def test_utilization_is_the_busy_share_of_the_socket_s_own_cpus() -> None:
    before = {0: (0, 0), 1: (0, 0), 2: (0, 0)}
    after = {0: (100, 100), 1: (0, 100), 2: (100, 100)}
    assert utilization(before, after, (0, 1)) == 0.5


def test_utilization_is_unknown_when_no_time_went_by() -> None:
    assert utilization({0: (5, 9)}, {0: (5, 9)}, (0,)) is None
    assert utilization({}, {0: (5, 9)}, (0,)) is None
