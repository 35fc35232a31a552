"""How fast a class of work runs on a chip type, with where the number came from.

Measured speeds come first. An unmeasured type gets its roofline (Williams, Waterman, Patterson,
CACM 2009: the lesser of compute and memory bound), scaled by how much of their rooflines the
measured types reach.
"""

from __future__ import annotations

from collections.abc import Mapping
from statistics import median
from typing import Final

from scheduler.model import Rate, Speeds, Work

COMPUTED: Final = "roofline"
_DTYPES: Final = ("bf16", "fp16", "fp32")


def expected_speed(work: Work, chip_type: str, speeds: Speeds) -> Rate | None:
    """Tokens/s of one whole chip; None where nothing is known.

    Of a server that takes in as many tokens as it generates; where only its decoding is known,
    that counts for both. Without FLOPs per token and without any measured type the value is only
    relative: right for comparing chip types, not a rate.
    """
    found = _phase_speed(work, chip_type, speeds)
    before = work.prefill and _phase_speed(work.prefill, chip_type, speeds)
    if not found or not before or not found.value or not before.value:
        return found
    return Rate(2 / (1 / before.value + 1 / found.value), found.origin)


def _phase_speed(work: Work, chip_type: str, speeds: Speeds) -> Rate | None:
    measured = speeds.measured.get(work.work_class, {}).get(chip_type)
    if measured is not None:
        return measured
    bound = _roofline(work, speeds.rates.get(chip_type, {}))
    return None if bound is None else Rate(bound * _efficiency(work, speeds), COMPUTED)


def _roofline(work: Work, rates: Mapping[str, Rate]) -> float | None:
    dtypes = (work.dtype, *_DTYPES)
    flops = next((rates[key] for it in dtypes if (key := f"flops.{it}") in rates), None)
    if flops is None:
        return None
    bound = flops.value / (work.flops_per_token or 1.0)
    memory = rates.get("memory")
    if memory is not None and work.bytes_per_token and work.flops_per_token:
        bound = min(bound, memory.value / work.bytes_per_token)
    return bound


def _efficiency(work: Work, speeds: Speeds) -> float:
    """The part of its roofline that this work reached on the types where it was measured."""
    parts = [
        rate.value / bound
        for chip_type, rate in sorted(speeds.measured.get(work.work_class, {}).items())
        if (bound := _roofline(work, speeds.rates.get(chip_type, {})))
    ]
    return median(parts) if parts else 1.0
