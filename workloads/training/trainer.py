"""The loop of one attempt of a training job on one rank: batches, sums, updates, checkpoints.

Every rank runs the same steps; rank 0 also speaks for the job. Results depend on spec, data,
world size and share log only, never on timing. Shapes in names: B samples, T tokens of a sample.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

import torch

from penstock.api.specs import ShareStep, TrainSpec
from workloads.training.data.dataset import Dataset, num_samples, windows
from workloads.training.data.order import samples_of_step
from workloads.training.gradients import accumulate
from workloads.training.optimizer import learning_rate
from workloads.training.parallel.balancer import Balancer
from workloads.training.parallel.shares import passes_of, span_of
from workloads.training.parallel.sums import StepSums, alone, data_check, decode, encode
from workloads.training.state import TrainState
from workloads.transport.gloo import PeerLost, Transport

CALIBRATION_S: Final = 0.3
CALIBRATION_PASSES: Final = 3


class Diverged(ValueError):
    """The loss is no number any more; every rank finds out in the same step."""


@dataclass(frozen=True, slots=True)
class StepDone:
    """What the gang did in one step."""

    step: int
    loss: float
    shares: tuple[int, ...]
    sums: StepSums
    own_tokens: int
    own_s: float


@dataclass(frozen=True, slots=True)
class Hooks:
    """What the loop calls outward. `save` and `wants_save` run on rank 0 only, the others on
    every rank.

    `save` says whether the checkpoint was written; where it must be, since no later one follows,
    it raises instead. One that could not be written is due again once `wants_save` says so.
    """

    begun: Callable[[], None]
    done: Callable[[StepDone], None]
    save: Callable[[int, list[ShareStep], bool], bool]
    wants_save: Callable[[], bool]
    wants_stop: Callable[[], bool]


class Trainer:
    """One attempt on one rank, from `first_step` on."""

    def __init__(
        self,
        spec: TrainSpec,
        dataset: Dataset,
        state: TrainState,
        transport: Transport,
        balancer: Balancer,
        first_step: int = 0,
    ) -> None:
        self.balancer = balancer
        self._spec = spec
        self._dataset = dataset
        self._state = state
        self._transport = transport
        self._first_step = first_step
        self._num_samples = num_samples(dataset.train_N, spec.model.max_seq_len)
        self._work = _WorkClock(transport)

    def run(self, hooks: Hooks) -> bool:
        """Trains to the last step; false if the gang was asked to stop before.

        Raises PeerLost when another rank is gone; rank 0 has saved the last whole step then.
        """
        if self._first_step >= self._spec.steps:
            return True
        self._state.sync(self._transport)
        self.balancer.start(self._calibrate)
        hooks.begun()
        step, saved = self._first_step, self._first_step
        stopping = False
        try:
            while step < self._spec.steps and not stopping:
                stopping = self._step(step, hooks)
                step += 1
                if self._checkpoint(step, hooks, stopping or step == self._spec.steps):
                    saved = step
        except PeerLost:
            if self._transport.rank == 0 and step > saved:
                hooks.save(step, self.balancer.log, True)
            raise
        return step >= self._spec.steps

    def _step(self, step: int, hooks: Hooks) -> bool:
        """One step; whether the gang is to stop after it. Raises Diverged."""
        shares = self.balancer.shares_of(step)
        sums = self._summed_gradients(step, shares, hooks.wants_stop())
        if not math.isfinite(sums.mean_loss):
            raise Diverged(f"the loss of step {step} is {sums.mean_loss}: lower learning_rate")
        self._state.flat.grads_N.div_(sums.num_tokens)
        lr = learning_rate(step, self._spec.steps, self._spec.learning_rate)
        self._state.optimizer.step(self._state.flat.grads_N, step, lr)
        own_s = sums.pass_s[self._transport.rank] + sums.fixed_s[self._transport.rank]
        own_tokens = shares[self._transport.rank] * self._spec.model.max_seq_len
        hooks.done(StepDone(step, sums.mean_loss, shares, sums, own_tokens, own_s))
        self.balancer.observe(step, sums)
        return sums.num_stopping > 0

    def _summed_gradients(self, step: int, shares: tuple[int, ...], stop: bool) -> StepSums:
        """Runs this rank's share; leaves the gang's gradient sums in the flat row."""
        rank, world = self._transport.rank, self._transport.world_size
        span = span_of(shares, rank)
        rows_BT = self._rows(step, span)
        flat = self._state.flat
        flat.sums.zero_()
        started_s = time.monotonic()
        passes = passes_of(len(span), self._spec.micro_batch)
        loss_sum, num_tokens = accumulate(self._state.model, rows_BT, passes)
        pass_s = time.monotonic() - started_s
        mine = StepSums(
            loss_sum=loss_sum,
            num_tokens=num_tokens,
            data_check=self._data_check(span.start, rows_BT),
            num_stopping=int(stop),
            pass_s=alone(pass_s, rank, world),
            fixed_s=alone(max(0.0, self._work.lap() - pass_s), rank, world),
        )
        flat.tail.copy_(torch.tensor(encode(mine)))
        self._transport.all_reduce(flat.sums)
        return decode(flat.tail.tolist(), world)

    def _rows(self, step: int, span: range) -> torch.Tensor:
        spec = self._spec
        mine = samples_of_step(spec.seed, step, spec.batch_size, self._num_samples, span)
        rows_BT = windows(self._dataset.train_N, mine, spec.model.max_seq_len)
        return torch.from_numpy(rows_BT).long()

    def _data_check(self, first_position: int, rows_BT: torch.Tensor) -> int:
        samples = [row_T.numpy().tobytes() for row_T in rows_BT]
        return data_check(first_position, samples, self._spec.batch_size)

    def _is_due(self, step: int) -> bool:
        return step % self._spec.checkpoint_every == 0

    def _checkpoint(self, step: int, hooks: Hooks, is_last: bool) -> bool:
        """Has rank 0 save where that is due, on every rank alike, or overdue. Whether it did."""
        due, speaks = is_last or self._is_due(step), self._transport.rank == 0
        if not due and not (speaks and hooks.wants_save()):
            return False
        with self._work.left_out():
            if due:
                self._state.sync(self._transport)
            return speaks and hooks.save(step, self.balancer.log, is_last)

    def _calibrate(self) -> float:
        """Seconds per sample of this rank: passes over real data, all ranks at the same time."""
        size = min(self._spec.micro_batch, self._spec.batch_size)
        rows_BT = self._rows(self._first_step, range(size))
        accumulate(self._state.model, rows_BT, (size,))
        self._transport.all_reduce(torch.zeros(1))
        num_passes, started_s = 0, time.monotonic()
        while num_passes < CALIBRATION_PASSES or time.monotonic() - started_s < CALIBRATION_S:
            accumulate(self._state.model, rows_BT, (size,))
            num_passes += 1
        elapsed_s = time.monotonic() - started_s
        self._work.lap()
        return elapsed_s / (num_passes * size)


class _WorkClock:
    """Wall time of a rank's own work: what it waits for others, and what is left out, taken off."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport
        self._left_out_s = 0.0
        self._since_s = self._now_s()

    def lap(self) -> float:
        """Own work since the lap before."""
        now_s = self._now_s()
        elapsed_s, self._since_s = now_s - self._since_s, now_s
        return elapsed_s

    @contextmanager
    def left_out(self) -> Iterator[None]:
        """Time within is nobody's work of a step."""
        before_s = self._now_s()
        yield
        self._left_out_s += self._now_s() - before_s

    def _now_s(self) -> float:
        return time.monotonic() - self._transport.waited_s - self._left_out_s
