"""Who decides the batch shares of an attempt, when, and what is written down of it.

Rank 0 decides and every rank hears it before the step it holds from; the arithmetic is in
`shares`. The log of decisions, replayed, gives the same run.
"""

from __future__ import annotations

from collections.abc import Callable

import torch

from penstock.api.specs import ShareStep, TrainSpec
from workloads.training.parallel.shares import (
    RankCost,
    best_split,
    check_recorded,
    corrected_split,
    damped,
    equal_split,
    is_correction_step,
    shares_at,
)
from workloads.training.parallel.sums import StepSums, alone
from workloads.transport.gloo import Transport


class Balancer:
    """The share log of one attempt, continuing that of the attempt it resumes."""

    def __init__(
        self, spec: TrainSpec, transport: Transport, first_step: int, past: tuple[ShareStep, ...]
    ) -> None:
        self.log = [entry for entry in past if entry.from_step < first_step]
        self._spec = spec
        self._transport = transport
        self._first_step = first_step
        self._costs: list[RankCost] = []
        self._window: list[tuple[tuple[int, ...], StepSums]] = []

    def start(self, calibrate: Callable[[], float]) -> None:
        """Sets the first shares; `calibrate` measures this rank's seconds per sample.

        Raises ValueError where batch or recorded shares do not fit the gang.
        """
        spec, world = self._spec, self._transport.world_size
        equal = equal_split(spec.batch_size, world)
        if isinstance(spec.shares, tuple):
            check_recorded(spec.shares, self._first_step, spec.batch_size, world)
            self._note(self._first_step, self._recorded(self._first_step))
        elif spec.shares == "equal" or world == 1:
            self._note(self._first_step, equal)
        else:
            self._costs = [RankCost(sample_s) for sample_s in self._gather(calibrate())]
            self._decide(self._first_step, best_split(spec.batch_size, self._costs))

    def shares_of(self, step: int) -> tuple[int, ...]:
        """Samples per rank in this step."""
        if isinstance(self._spec.shares, tuple):
            self._note(step, self._recorded(step))
        return self.log[-1].shares

    def observe(self, step: int, sums: StepSums) -> None:
        """Takes a step's times; at defined steps the shares of the next step may change."""
        if not self._costs:
            return
        self._window.append((self.log[-1].shares, sums))
        if is_correction_step(step + 1 - self._first_step):
            measured = _window_costs(self._window)
            self._costs = [damped(*pair) for pair in zip(self._costs, measured, strict=True)]
            self._window = []
            self._decide(step + 1, corrected_split(self.log[-1].shares, self._costs))

    def _decide(self, step: int, shares: tuple[int, ...]) -> None:
        self._note(step, tuple(self._transport.agree(f"shares/{step}", list(shares))))

    def _note(self, step: int, shares: tuple[int, ...]) -> None:
        if not self.log or self.log[-1].shares != shares:
            self.log.append(ShareStep(from_step=step, shares=shares))

    def _recorded(self, step: int) -> tuple[int, ...]:
        assert isinstance(self._spec.shares, tuple)
        return shares_at(self._spec.shares, step) or self.log[-1].shares

    def _gather(self, value: float) -> list[float]:
        mine = alone(value, self._transport.rank, self._transport.world_size)
        values_W = torch.tensor(mine, dtype=torch.float64)
        self._transport.all_reduce(values_W)
        return [float(value) for value in values_W]


def _window_costs(window: list[tuple[tuple[int, ...], StepSums]]) -> list[RankCost]:
    """Mean costs over the steps of a window, per rank."""
    costs = []
    for rank in range(len(window[0][0])):
        samples = sum(shares[rank] for shares, _ in window)
        pass_s = sum(sums.pass_s[rank] for _, sums in window)
        fixed_s = sum(sums.fixed_s[rank] for _, sums in window)
        costs.append(RankCost(pass_s / samples, fixed_s / len(window)))
    return costs
