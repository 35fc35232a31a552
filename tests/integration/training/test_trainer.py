"""The loop itself, on one rank in this process."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from penstock.api.specs import ShareStep, TrainSpec
from workloads.training.data.dataset import Dataset, prepare_dataset
from workloads.training.parallel.balancer import Balancer
from workloads.training.state import TrainState
from workloads.training.trainer import Diverged, Hooks, StepDone, Trainer
from workloads.transport.gloo import SoloTransport

pytestmark = pytest.mark.integration


class _Watch:
    """Hooks that remember, and stop after a given number of steps."""

    def __init__(self, stop_after: int = 10**9) -> None:
        self.done: list[StepDone] = []
        self.saved: list[int] = []
        self._stop_after = stop_after

    def hooks(self) -> Hooks:
        return Hooks(lambda: None, self.done.append, self._save, lambda: False, self._wants_stop)

    def _save(self, step: int, log: list[ShareStep], is_last: bool) -> bool:
        self.saved.append(step)
        return True

    def _wants_stop(self) -> bool:
        return len(self.done) + 1 >= self._stop_after


@pytest.fixture
def spec(work: dict[str, Any]) -> TrainSpec:
    return TrainSpec.model_validate({k: v for k, v in work.items() if k != "resume"})


@pytest.fixture
def dataset(spec: TrainSpec, cache: Path) -> Dataset:
    return prepare_dataset(spec.data, spec.data_limit, spec.model.vocab_size, cache)


def _trainer(spec: TrainSpec, dataset: Dataset, first_step: int = 0) -> tuple[Trainer, TrainState]:
    transport, state = SoloTransport(), TrainState(spec, world_size=1)
    balancer = Balancer(spec, transport, first_step, ())
    return Trainer(spec, dataset, state, transport, balancer, first_step), state


def test_checkpoints_are_saved_at_their_steps_and_at_the_end(
    spec: TrainSpec, dataset: Dataset
) -> None:
    watch = _Watch()
    short = spec.model_copy(update={"steps": 10})
    assert _trainer(short, dataset)[0].run(watch.hooks())
    assert watch.saved == [4, 8, 10]
    assert [done.step for done in watch.done] == list(range(10))
    assert watch.done[-1].loss < watch.done[0].loss


def test_a_stop_is_obeyed_after_the_step_and_saved(spec: TrainSpec, dataset: Dataset) -> None:
    watch = _Watch(stop_after=6)
    assert not _trainer(spec, dataset)[0].run(watch.hooks())
    assert watch.saved == [4, 6]


def test_a_job_that_was_already_done_takes_no_step(spec: TrainSpec, dataset: Dataset) -> None:
    watch = _Watch()
    assert _trainer(spec, dataset, first_step=spec.steps)[0].run(watch.hooks())
    assert watch.done == []
    assert watch.saved == []


def test_a_loss_that_is_no_number_ends_the_attempt(spec: TrainSpec, dataset: Dataset) -> None:
    watch = _Watch()
    trainer, state = _trainer(spec, dataset)
    with torch.no_grad():
        state.flat.values_N.fill_(float("nan"))
    with pytest.raises(Diverged, match="the loss of step 0 is nan: lower learning_rate"):
        trainer.run(watch.hooks())
    assert watch.saved == []


def test_one_rank_gets_the_same_bits_in_every_run(spec: TrainSpec, dataset: Dataset) -> None:
    losses = []
    for _ in range(2):
        watch = _Watch()
        _trainer(spec, dataset)[0].run(watch.hooks())
        losses.append([done.loss.hex() for done in watch.done])
    assert losses[0] == losses[1]
