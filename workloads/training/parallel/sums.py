"""The numbers that ranks add up beside their gradients: the tail of the same all-reduce. Pure."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

COUNT_BASE: Final = 4096
EXACT_BITS: Final = 24


@dataclass(frozen=True, slots=True)
class StepSums:
    """One rank's part of a step, or after the all-reduce that of the whole gang.

    `pass_s` and `fixed_s` hold one number per rank: the times of its forward and backward
    passes and of its other own work, waiting left out.
    """

    loss_sum: float
    num_tokens: int
    data_check: int
    num_stopping: int
    pass_s: tuple[float, ...]
    fixed_s: tuple[float, ...]

    @property
    def mean_loss(self) -> float:
        return self.loss_sum / self.num_tokens


def tail_size(world_size: int) -> int:
    """How many numbers `encode` gives."""
    return 5 + 2 * world_size


def encode(sums: StepSums) -> list[float]:
    """As numbers that stay exact in float32 when added over ranks; counts go in two digits."""
    high, low = divmod(sums.num_tokens, COUNT_BASE)
    counts = [float(high), float(low), float(sums.data_check), float(sums.num_stopping)]
    return [sums.loss_sum, *counts, *sums.pass_s, *sums.fixed_s]


def decode(numbers: Sequence[float], world_size: int) -> StepSums:
    """The gang's sums from the added numbers."""
    loss_sum, high, low, check, stopping = numbers[:5]
    return StepSums(
        loss_sum=loss_sum,
        num_tokens=int(high) * COUNT_BASE + int(low),
        data_check=int(check),
        num_stopping=int(stopping),
        pass_s=tuple(numbers[5 : 5 + world_size]),
        fixed_s=tuple(numbers[5 + world_size : 5 + 2 * world_size]),
    )


def alone(value: float, rank: int, world_size: int) -> tuple[float, ...]:
    """`value` in this rank's place and 0 in the others'."""
    return tuple(value if index == rank else 0.0 for index in range(world_size))


def data_check(first_position: int, samples: Sequence[bytes], batch_size: int) -> int:
    """A check number of the samples a rank worked on and of their positions in the batch.

    The ranks' numbers add up to the same whatever the shares, and exactly so in float32.
    """
    bits = max(1, EXACT_BITS - batch_size.bit_length())
    return sum(
        zlib.crc32(sample, first_position + offset) & ((1 << bits) - 1)
        for offset, sample in enumerate(samples)
    )
