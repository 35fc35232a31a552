"""The kernel's notations."""

from __future__ import annotations

import pytest

from agents.node.hardware.host import parse_cpu_list


@pytest.mark.parametrize(
    "text,cpus", [("0-3,8\n", {0, 1, 2, 3, 8}), ("5", {5}), ("", set()), ("0-1,4-5", {0, 1, 4, 5})]
)
def test_cpu_lists_are_ranges_and_numbers(text: str, cpus: set[int]) -> None:
    assert parse_cpu_list(text) == cpus
