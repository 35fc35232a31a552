"""How a global batch is split over ranks of unequal speed. Pure arithmetic on measured times.

A rank's step takes `fixed_s + share * sample_s`; the step of the gang is that of its slowest
rank. Every rank has a share of at least one sample.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from penstock.api.specs import ShareStep

LEAST_GAIN: Final = 0.03
DAMPING: Final = 0.5
EARLY_STEPS: Final = 32
EARLY_EVERY: Final = 8
LATER_EVERY: Final = 32


@dataclass(frozen=True, slots=True)
class RankCost:
    """What a rank's part of a step costs in wall time, waiting for others left out."""

    sample_s: float
    fixed_s: float = 0.0

    def step_s(self, share: int) -> float:
        return self.fixed_s + share * self.sample_s


def equal_split(batch_size: int, world_size: int) -> tuple[int, ...]:
    """Shares that differ by one at most, the larger ones first; raises ValueError if one is 0."""
    _check(batch_size, world_size)
    least, rest = divmod(batch_size, world_size)
    return tuple(least + (rank < rest) for rank in range(world_size))


def best_split(batch_size: int, costs: Sequence[RankCost]) -> tuple[int, ...]:
    """The split with the shortest step: each sample goes where it is finished first.

    Greedy is optimal here, since a rank's time grows with its share and shares are independent
    but for their sum. Ties go to the lower rank. Raises ValueError for too small a batch.
    """
    _check(batch_size, len(costs))
    shares = [1] * len(costs)
    for _ in range(batch_size - len(costs)):
        finish = [cost.step_s(share + 1) for cost, share in zip(costs, shares, strict=True)]
        shares[finish.index(min(finish))] += 1
    return tuple(shares)


def corrected_split(
    shares: tuple[int, ...], costs: Sequence[RankCost], least_gain: float = LEAST_GAIN
) -> tuple[int, ...]:
    """A better split of the same batch, or the same shares where little is to be gained."""
    better = best_split(sum(shares), costs)
    gain = 1 - gang_step_s(better, costs) / gang_step_s(shares, costs)
    return better if gain >= least_gain else shares


def gang_step_s(shares: Sequence[int], costs: Sequence[RankCost]) -> float:
    """Time of a step of the whole gang: that of its slowest rank."""
    return max(cost.step_s(share) for cost, share in zip(costs, shares, strict=True))


def damped(old: RankCost, new: RankCost, damping: float = DAMPING) -> RankCost:
    """Moves an estimate part of the way to a new measurement."""
    return RankCost(
        sample_s=old.sample_s + (1 - damping) * (new.sample_s - old.sample_s),
        fixed_s=old.fixed_s + (1 - damping) * (new.fixed_s - old.fixed_s),
    )


def is_correction_step(num_done: int) -> bool:
    """Whether shares may change after this many steps of the attempt: often at first, then less."""
    every = EARLY_EVERY if num_done < EARLY_STEPS else LATER_EVERY
    return num_done > 0 and num_done % every == 0


def span_of(shares: Sequence[int], rank: int) -> range:
    """Which samples of the global batch a rank takes, in rank order without a gap."""
    start = sum(shares[:rank])
    return range(start, start + shares[rank])


def passes_of(share: int, micro_batch: int) -> tuple[int, ...]:
    """Sizes of the ceil(share / micro_batch) forward passes, as even as can be."""
    num_passes = -(-share // micro_batch)
    least, rest = divmod(share, num_passes)
    return tuple(least + (index < rest) for index in range(num_passes))


def shares_at(log: Sequence[ShareStep], step: int) -> tuple[int, ...] | None:
    """The shares that a log gives for a step: its last entry at or before it."""
    held = [entry for entry in log if entry.from_step <= step]
    return max(held, key=lambda entry: entry.from_step).shares if held else None


def check_recorded(log: Sequence[ShareStep], first_step: int, batch: int, world: int) -> None:
    """Raises ValueError unless a recorded log can be replayed from `first_step` on."""
    if shares_at(log, first_step) is None:
        raise ValueError(f"train.shares: no recorded entry at or before step {first_step}")
    for entry in log:
        if len(entry.shares) != world:
            raise ValueError(
                f"train.shares: recorded for {len(entry.shares)} ranks, this gang has {world}"
            )
        if sum(entry.shares) != batch or min(entry.shares) < 1:
            raise ValueError(
                f"train.shares: {list(entry.shares)} from step {entry.from_step} must be "
                f"at least 1 each and {batch} in all"
            )


def _check(batch_size: int, world_size: int) -> None:
    if world_size < 1 or batch_size < world_size:
        raise ValueError(
            f"train.batch_size {batch_size} is less than the number of ranks {world_size}: "
            "every rank needs at least one sample"
        )
