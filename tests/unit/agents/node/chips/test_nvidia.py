"""What the NVML provider makes of names, capabilities and MIG shapes."""

from __future__ import annotations

import pytest

from agents.node.chips.nvidia import dtypes, mig_profile, type_name


@pytest.mark.parametrize(
    "name,expected",
    [
        ("NVIDIA H100 80GB HBM3", "nvidia-h100"),
        ("NVIDIA H200", "nvidia-h200"),
        ("NVIDIA A100-SXM4-40GB", "nvidia-a100"),
        ("NVIDIA A100 80GB PCIe", "nvidia-a100-pcie"),
        ("NVIDIA H100 NVL", "nvidia-h100-nvl"),
        ("Tesla V100-SXM2-16GB", "nvidia-v100"),
        ("Tesla T4", "nvidia-t4"),
        ("NVIDIA L40S", "nvidia-l40s"),
        ("NVIDIA GeForce RTX 4090", "nvidia-rtx-4090"),
        ("NVIDIA RTX 6000 Ada Generation", "nvidia-rtx-6000-ada"),
    ],
)
def test_a_type_is_the_model_without_memory_and_socket(name: str, expected: str) -> None:
    assert type_name(name) == expected


def test_formats_follow_the_compute_capability() -> None:
    assert dtypes((7, 0)) == ("fp64", "fp32", "fp16", "int8")
    assert "bf16" in dtypes((8, 0))
    assert "fp8" not in dtypes((8, 6))
    assert "fp8" in dtypes((9, 0))
    assert dtypes(None) == ()


@pytest.mark.parametrize(
    "slices,memory_mib,total_gib,profile",
    [
        ((1, 1), 4864, 40, "1g.5gb"),
        ((2, 2), 9856, 40, "2g.10gb"),
        ((7, 7), 40192, 40, "7g.40gb"),
        ((1, 1), 9856, 80, "1g.10gb"),
        ((3, 3), 40192, 80, "3g.40gb"),
        ((3, 1), 40192, 80, "1c.3g.40gb"),
    ],
)
def test_mig_profiles_are_named_as_the_vendor_s_tools_name_them(
    slices: tuple[int, int], memory_mib: int, total_gib: int, profile: str
) -> None:
    assert mig_profile(slices, memory_mib, total_gib * 2**30) == profile
